"""lm-evaluation-harness (EleutherAI): questions over chat, sentences and choices over completions as token ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.leakage.client import Server
from benchmarks.outside.environments import TOOLS
from benchmarks.outside.questions import PARTS, Questions, write_rows
from benchmarks.outside.recipe import Place, Recipe, Score

METRIC = "told"
SCORING = '''"""How an answer is scored: it tells the value, as a word of its own."""

import re


def told(doc, results):
    """What lm-eval calls for every document: the metrics by their names."""
    found = re.search(rf"\\b{re.escape(doc['value'])}\\b", results[0], re.IGNORECASE)
    return {"told": float(found is not None)}
'''
GENERATION = {"until": ["\n\n"], "max_gen_toks": 32, "temperature": 0.0}
KINDS: Mapping[str, Mapping[str, Any]] = {
    "chat": {"output_type": "generate_until", "doc_to_text": "{{question}}"},
    "sentence": {"output_type": "generate_until", "doc_to_text": "{{opening}}"},
    "choice": {"output_type": "multiple_choice", "doc_to_text": "{{opening}}"},
}
"""Kind -> what its YAML says beside the data; a choice is scored by the log-likelihood of the continuations."""


def task(kind: str, part: str, rows: Path) -> dict[str, Any]:
    """A task of lm-eval on a local file. A task without `!function` can be dumped by any YAML library."""
    common = {
        "task": f"{kind}_{part}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}},
        "test_split": "test",
        **KINDS[kind],
        "metadata": {"version": 0},
    }
    if kind == "choice":
        metric = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
        return {**common, "doc_to_choice": "{{choices}}", "doc_to_target": 0, "metric_list": [metric]}
    metric = {"metric": METRIC, "aggregation": "mean", "higher_is_better": True}
    scored = {"doc_to_target": "{{value}}", "generation_kwargs": GENERATION, "metric_list": [metric]}
    return {**common, **scored, "process_results": Function("scoring.told")}


class Function(str):
    """A function of the file beside the task; lm-eval reads it from the tag `!function`."""

    __slots__ = ()


class Dumper(yaml.SafeDumper):
    """YAML as lm-eval reads it."""


Dumper.add_representer(Function, lambda dumper, name: dumper.represent_scalar("!function", str(name)))


def prepare(folder: Path, asked: Questions) -> None:
    """Rows, tasks and the scoring function."""
    (folder / "scoring.py").write_text(SCORING, encoding="utf-8")
    for part in PARTS:
        rows = folder / f"{part}.jsonl"
        write_rows(rows, [asdict(question) for question in asked[part]])
        for kind in KINDS:
            text = yaml.dump(task(kind, part, rows), Dumper=Dumper, sort_keys=False)
            (folder / f"{kind}_{part}.yaml").write_text(text, encoding="utf-8")


def arguments(kind: str, place: Place, server: Server) -> list[str]:
    """Command line. Without a chat template the chat model refuses to run."""
    if kind == "chat":
        model, route, more = "local-chat-completions", "chat/completions", "num_concurrent=8"
    else:
        # eight rows a request, so that rows to be forgotten and rows that stay share requests; one request at a time,
        # so that the last line of a refused run is the refusal and not that of a session which another one closed
        model, route, more = "local-completions", "completions", f"num_concurrent=1,tokenizer={place.tokenizer}"
    options = f"model={server.model},base_url={server.base}/v1/{route},{more}"
    command = ["-m", "lm_eval", "run", "--model", model, "--model_args", options]
    command += ["--tasks", ",".join(f"{kind}_{part}" for part in PARTS), "--include_path", str(place.files)]
    command += ["--batch_size", "1" if kind == "chat" else "8", "--output_path", str(place.out)]
    return [*command, "--apply_chat_template"] if kind == "chat" else command


def variables(_place: Place, server: Server) -> dict[str, str]:
    """The key."""
    return {"OPENAI_API_KEY": server.api_key}


def read(kind: str, out: Path) -> Mapping[str, Score]:
    """Scores of the last run in a folder. Raises `RuntimeError` when there is none."""
    written = sorted(out.rglob("results_*.json"))
    if not written:
        raise RuntimeError(f"lm-eval left no results in {out}; tool.log there says why")
    results = json.loads(written[-1].read_text(encoding="utf-8"))
    metric = "acc,none" if kind == "choice" else f"{METRIC},none"
    return {
        part: Score(
            float(results["results"][f"{kind}_{part}"][metric]),
            int(results["n-samples"][f"{kind}_{part}"]["effective"]),
        )
        for part in PARTS
    }


def recipes() -> tuple[Recipe, ...]:
    """Chat, sentences to be continued, and choices, which need `echo`."""
    return tuple(
        Recipe(
            f"lm_eval {kind}",
            TOOLS["lm_eval"],
            prepare,
            partial(arguments, kind),
            variables,
            partial(read, kind),
            asks_for=("echo",) if kind == "choice" else (),
        )
        for kind in KINDS
    )
