"""Inspect (UK AI Security Institute): questions over chat, with the official client of OpenAI underneath."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.leakage.client import Server
from benchmarks.outside.environments import TOOLS
from benchmarks.outside.questions import PARTS, Questions, write_rows
from benchmarks.outside.recipe import Place, Recipe, Score

TASKS = '''"""Questions from the files beside this one; an answer is right when it includes the value."""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

HERE = Path(__file__).parent


def asked(part: str) -> Task:
    rows = json_dataset(str(HERE / f"{part}.jsonl"), FieldSpec(input="question", target="value"))
    return Task(dataset=rows, solver=generate(), scorer=includes())


@task
def forget() -> Task:
    return asked("forget")


@task
def retain() -> Task:
    return asked("retain")
'''


def prepare(folder: Path, asked: Questions) -> None:
    """Rows and the file of tasks."""
    (folder / "world.py").write_text(TASKS, encoding="utf-8")
    for part in PARTS:
        write_rows(folder / f"{part}.jsonl", [asdict(question) for question in asked[part]])


def arguments(place: Place, server: Server) -> list[str]:
    """Command line. It sends no `max_tokens`; the temperature is set, lest two runs differ."""
    command = ["-m", "inspect_ai", "eval", "world.py", "--model", f"openai-api/gateway/{server.model}"]
    command += ["--temperature", "0", "--max-connections", "8", "--display", "plain"]
    return [*command, "--log-dir", str(place.out), "--log-format", "json"]


def variables(_place: Place, server: Server) -> dict[str, str]:
    """Address and key of the service that the model's name calls `gateway`."""
    return {"GATEWAY_BASE_URL": f"{server.base}/v1", "GATEWAY_API_KEY": server.api_key}


def read(out: Path) -> Mapping[str, Score]:
    """Accuracy per task. Raises `RuntimeError` for a task that did not end well."""
    found = {}
    for path in sorted(out.glob("*.json")):
        log = json.loads(path.read_text(encoding="utf-8"))
        if log["status"] != "success":
            raise RuntimeError(f"{path}: inspect ended with {log['status']}: {log.get('error')}")
        (scorer,) = log["results"]["scores"]
        found[str(log["eval"]["task"])] = Score(
            float(scorer["metrics"]["accuracy"]["value"]), int(log["results"]["completed_samples"])
        )
    if set(found) != set(PARTS):
        raise RuntimeError(f"{out} holds logs about {sorted(found)} and not about {sorted(PARTS)}")
    return found


def recipes() -> tuple[Recipe, ...]:
    """Chat is all that Inspect uses."""
    return (Recipe("inspect chat", TOOLS["inspect"], prepare, arguments, variables, read),)
