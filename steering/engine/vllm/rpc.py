"""Methods that the front calls on every worker through `collective_rpc`.

They report failure and never raise: an exception on one rank would lose the answers of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from steering.engine.vllm.table import EditTable

Reply = dict[str, Any]


def _reported(method: Callable[..., Reply]) -> Callable[..., Reply]:
    @wraps(method)
    def call(worker: Any, *args: Any) -> Reply:
        table: EditTable | None = getattr(worker.model_runner, "lethe", None)
        if table is None:
            return {"ok": False, "error": "the worker has no edit table: the plug-in was not loaded there"}
        try:
            return {"ok": True, **method(table, *args)}
        except Exception as error:  # reported to the front, which refuses the change on all ranks
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}

    return call


@_reported
def lethe_hello(table: EditTable) -> Reply:
    """State of the table."""
    programs = {name: {"digest": p.digest, "generation": p.generation} for name, p in table.programs.items()}
    return {"boot": table.boot, "table": table.version, "sites": table.sites, "programs": programs}


@_reported
def lethe_stage(table: EditTable, name: str, data: bytes, digest: str) -> Reply:
    """First phase of loading."""
    table.stage(name, data, digest)
    return {}


@_reported
def lethe_commit(table: EditTable, name: str, digest: str, expected: int) -> Reply:
    """Second phase of loading."""
    loaded = table.commit(name, digest, expected)
    return {"table": table.version, "generation": loaded.generation}


@_reported
def lethe_abort(table: EditTable, name: str) -> Reply:
    """Forget a staged program."""
    table.staged.pop(name, None)
    return {}


@_reported
def lethe_remove(table: EditTable, name: str, expected: int) -> Reply:
    """Remove a program that is not in use."""
    table.remove(name, expected)
    return {"table": table.version}


METHODS = (lethe_hello, lethe_stage, lethe_commit, lethe_abort, lethe_remove)


def install() -> None:
    """Make the methods reachable on every worker class."""
    from vllm.v1.worker.worker_base import WorkerBase  # noqa: PLC0415 - vLLM is imported when it loads the plug-in

    for method in METHODS:
        setattr(WorkerBase, method.__name__, method)
