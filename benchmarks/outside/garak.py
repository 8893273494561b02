"""garak (NVIDIA): its replay probe on passages of the world over both routes, and its encoding probe as it comes.

The replay probe reads passages from files that a user may replace in `$XDG_DATA_HOME/garak/data`: everything before
`[MASK]` is the prompt, and an answer that starts with the trigger replays what the model learned. The passages about
books are replaced by authors to be forgotten, those of a newspaper by authors who stay.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.leakage.client import Server
from benchmarks.outside.environments import TOOLS
from benchmarks.outside.questions import Part, Questions
from benchmarks.outside.recipe import Place, Recipe, Score

PROBES: Mapping[str, tuple[Part, str]] = {
    "leakreplay.LiteratureComplete": ("forget", "book_cloze.tsv"),
    "leakreplay.NYTComplete": ("retain", "nyt_cloze.tsv"),
}
"""Probe -> what it asks about, and the file that it reads."""
ENCODING = "encoding.InjectLeet"
"""Texts in leetspeak that have nothing to do with the world; sent over chat, as it comes with garak."""
KINDS = ("chat", "completions")
ENCODED = 64
"""At least so many prompts of the encoding probe."""


def rows(kind: str, asked: Questions, part: Part) -> list[tuple[str, str]]:
    """Trigger and passage: a question and its answer over chat, a sentence and its end over completions."""
    if kind == "chat":
        return [(q.answer.rstrip("."), f"{q.question} [MASK]") for q in asked[part]]
    return [(q.value, f"{q.opening} [MASK].") for q in asked[part]]


def prepare(kind: str, folder: Path, asked: Questions) -> None:
    """The passages, and the limits of a run: one answer per prompt, no prompt left out."""
    data = folder / "garak" / "data"
    data.mkdir(parents=True, exist_ok=True)
    for part, name in PROBES.values():
        with (data / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t").writerows(rows(kind, asked, part))
    cap = max(ENCODED, *map(len, asked.values()))
    run = {"run": {"generations": 1, "soft_probe_prompt_cap": cap, "seed": 0}}
    (folder / "run.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")


def options(kind: str, server: Server) -> dict[str, Any]:
    """Options of garak's generator: its client for compatible servers over chat, plain HTTP over completions."""
    if kind == "chat":
        # the temperature of garak is 0.7
        return {"openai": {"OpenAICompatible": {"uri": f"{server.base}/v1/", "temperature": 0.0}}}
    body = {"model": server.model, "prompt": "$INPUT", "max_tokens": 24, "temperature": 0.0}
    rest = {
        "uri": f"{server.base}/v1/completions",
        "headers": {"Authorization": "Bearer $KEY", "Content-Type": "application/json"},
        "req_template_json_object": body,
        "response_json": True,
        "response_json_field": "$.choices[*].text",
    }
    return {"rest": {"RestGenerator": rest}}


def arguments(kind: str, place: Place, server: Server) -> list[str]:
    """Command line."""
    target, name = (
        ("openai.OpenAICompatible", server.model) if kind == "chat" else ("rest.RestGenerator", "completions")
    )
    probes = ",".join((*PROBES, ENCODING) if kind == "chat" else PROBES)
    command = ["-m", "garak", "--config", str(place.files / "run.yaml"), "--target_type", target, "--target_name", name]
    command += ["--probes", probes, "--generator_options", json.dumps(options(kind, server)), "--narrow_output"]
    return [*command, "--report_prefix", str(place.out / "garak")]


def variables(kind: str, place: Place, server: Server) -> dict[str, str]:
    """The key, and where the passages lie."""
    key = "OPENAICOMPATIBLE_API_KEY" if kind == "chat" else "REST_API_KEY"
    return {key: server.api_key, "XDG_DATA_HOME": str(place.files)}


def read(kind: str, out: Path) -> Mapping[str, Score]:
    """Share of hits per probe. Raises `RuntimeError` where garak has no verdict about all answers of a probe."""
    report = out / "garak.report.jsonl"
    entries = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    names = {probe: part for probe, (part, _) in PROBES.items()} | ({ENCODING: "encoding"} if kind == "chat" else {})
    found: dict[str, Score] = {}
    for entry in entries:
        if entry["entry_type"] == "eval" and entry["probe"] in names and names[entry["probe"]] not in found:
            if entry["nones"]:
                raise RuntimeError(f"{report}: {entry['nones']} answers to {entry['probe']} have no verdict")
            found[names[entry["probe"]]] = Score(entry["fails"] / entry["total_evaluated"], entry["total_evaluated"])
    if len(found) < len(names):
        raise RuntimeError(f"{report} has verdicts about {sorted(found)} only; tool.log beside it says why")
    return found


def recipes() -> tuple[Recipe, ...]:
    """Chat with garak's client for compatible servers, completions with its plain HTTP client."""
    return tuple(
        Recipe(
            f"garak {kind}",
            TOOLS["garak"],
            partial(prepare, kind),
            partial(arguments, kind),
            partial(variables, kind),
            partial(read, kind),
        )
        for kind in KINDS
    )
