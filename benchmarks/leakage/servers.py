"""Engines as child processes, gateways in this one: what the arms are asked through."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import uvicorn

from benchmarks.leakage.client import Server
from gateway.app import create_app
from gateway.commands.serve import KEEP_ALIVE_S
from gateway.demo.services import Service, free_port, running
from gateway.lifecycle import Scanner
from gateway.settings import Settings
from gateway.store import load_policies
from guards.guard import Guard, Shared

READY_S = 120.0


def backend_of(wanted: str) -> str:
    """The engine that is meant: `auto` is vllm where it is installed, else local."""
    if wanted != "auto":
        return wanted
    return "vllm" if find_spec("vllm") else "local"


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine and the key that it shares with the gateways in front of it."""

    url: str
    key: str


@contextmanager
def engine(model: Path, backend: str, log: Path, extra: Sequence[str] = ()) -> Iterator[Engine]:
    """`lethe engine` with a fresh key; `extra` are options of vLLM.

    Raises `gateway.demo.services.ServiceError` when it does not come up.
    """
    key, port = secrets.token_hex(32), free_port()
    command = [sys.executable, "-m", "gateway.cli", "engine", "--model", str(model), "--backend", backend]
    command += ["--port", str(port), "--served-model-name", "world"]
    if backend == "vllm":
        command += ["--max-num-seqs", "256", "--max-logprobs", "20", *extra]
    url = f"http://127.0.0.1:{port}"
    with running(Service("engine", command, {**os.environ, "LETHE_ENGINE_KEY": key}, log, f"{url}/health")) as service:
        service.wait(600)
        yield Engine(url, key)


@contextmanager
def gateway(
    behind: Engine,
    bundle: Path | None,
    bundle_key: str,
    audit: Path,
    wrap: Callable[[Scanner], Scanner] | None = None,
    allow_fields: Collection[str] = (),
    shared: Shared | None = None,
) -> Iterator[Server]:
    """A gateway with one policy or none, on a port of its own.

    `wrap` replaces its guard by one around it; `allow_fields` are request fields that it opens; `shared` is what its
    guard has in common with those of other gateways, which saves seconds and half a gigabyte each.

    Raises `RuntimeError` when it is not ready, i.e. when the engine does not confirm the policy.
    """
    api_key = f"sk-{secrets.token_urlsafe(24)}"
    settings = Settings(
        upstream={"url": behind.url, "engine_key": behind.key},
        keys=[{"tenant": "bench", "sha256": hashlib.sha256(api_key.encode()).hexdigest()}],
        bundles=(bundle,) if bundle else (),
        bundle_key=bundle_key,
        audit={"path": audit},
        allow_fields=allow_fields,
    )
    guard: Scanner | None = None
    if wrap is not None or (shared is not None and bundle is not None):
        parts = {policy.number: policy.guard for policy in load_policies(settings.bundles, bundle_key)}
        guard = Guard.from_parts(parts, alpha=settings.guard.alpha, shared=shared)
        guard = guard if wrap is None else wrap(guard)
    port = free_port()
    app = create_app(settings, guard)
    config = uvicorn.Config(app, port=port, log_config=None, access_log=False, timeout_keep_alive=KEEP_ALIVE_S)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        base = f"http://127.0.0.1:{port}"
        _wait(f"{base}/readyz")
        yield Server(base, "world", api_key)
    finally:
        server.should_exit = True
        thread.join(30)


def _wait(url: str) -> None:
    until, problem = time.monotonic() + READY_S, "no answer"
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
                return
        except urllib.error.HTTPError as error:
            problem = error.read().decode()
        except OSError as error:
            problem = str(error)
        time.sleep(0.1)
    raise RuntimeError(f"the gateway was not ready after {READY_S:.0f} s: {problem}")
