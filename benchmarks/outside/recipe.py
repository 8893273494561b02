"""How a tool is run: its files, its command line, where it leaves its scores."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.leakage.client import Server
from benchmarks.outside.environments import Tool, python
from benchmarks.outside.questions import Questions

PATIENCE_S = 900.0
NOWHERE = "http://127.0.0.1:9"
"""The port of the discard protocol, where nobody listens: a tool that wants to leave the machine fails at once."""


@dataclass(frozen=True, slots=True)
class Score:
    """Share of `n` answers that the tool counts as telling the value."""

    share: float
    n: int


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of one run: `files` holds what was generated for the tool, `out` what the tool writes."""

    files: Path
    out: Path
    tokenizer: Path


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to run a tool.

    Attributes:
        name: how the result calls it, e.g. `lm_eval chat`.
        tool: whose environment is used.
        prepare: writes the tool's files to a folder.
        arguments: what follows the interpreter on the command line.
        variables: environment variables beside those of every tool.
        read: scores by their names, from what the tool wrote. Raises `RuntimeError` when they are not there.
        asks_for: request fields that a gateway refuses unless they are opened; all others pass by default.
    """

    name: str
    tool: Tool
    prepare: Callable[[Path, Questions], None]
    arguments: Callable[[Place, Server], list[str]]
    variables: Callable[[Place, Server], dict[str, str]]
    read: Callable[[Path], Mapping[str, Score]]
    asks_for: tuple[str, ...] = ()


class ToolFailedError(RuntimeError):
    """A tool that ended with an error; `tail` is the end of what it printed."""

    def __init__(self, recipe: Recipe, code: int, tail: str) -> None:
        super().__init__(f"{recipe.name} ended with status {code}:\n{tail}")
        self.tail = tail


def follow(recipe: Recipe, place: Place, server: Server) -> Mapping[str, Score]:
    """Run the tool against a server and read its scores.

    Raises `ToolFailedError`, `EnvironmentMissingError`, or `subprocess.TimeoutExpired` after 15 minutes.
    """
    if place.out.exists():
        shutil.rmtree(place.out)  # scores of an earlier run must not stand in for those of this one
    place.out.mkdir(parents=True)
    log = place.out / "tool.log"
    command = [str(python(recipe.tool)), *recipe.arguments(place, server)]
    environment = {**offline(place.out), **recipe.variables(place, server)}
    with log.open("wb") as out:
        done = subprocess.run(
            command,
            cwd=place.files,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_S,
            check=False,
        )
    if done.returncode:
        raise ToolFailedError(recipe, done.returncode, _tail(log))
    return recipe.read(place.out)


def offline(home: Path) -> dict[str, str]:
    """Variables of a tool that keeps its files in `home` and cannot leave the machine."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "OMP_NUM_THREADS") if name in os.environ}
    folders = {
        name: str(home / "home" / folder)
        for name, folder in {
            "HOME": "",
            "HF_HOME": "hf",
            "XDG_CACHE_HOME": "cache",
            "XDG_CONFIG_HOME": "config",
            "XDG_DATA_HOME": "data",
        }.items()
    }
    proxies = {name: NOWHERE for upper in ("HTTP_PROXY", "HTTPS_PROXY") for name in (upper, upper.lower())}
    switches = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    here = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return {**kept, **folders, **proxies, **switches, **here, "PYTHONUNBUFFERED": "1"}


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
