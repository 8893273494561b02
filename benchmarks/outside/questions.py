"""A generated world -> the rows that every tool asks about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.leakage.policy import harmless_authors
from benchmarks.leakage.run import choose
from benchmarks.probes.ask import opening
from benchmarks.worlds.world import World

Part = Literal["forget", "retain"]
PARTS: tuple[Part, ...] = ("forget", "retain")
WRONG = 3
"""Wrong values beside the right one: a model that knows nothing chooses right in one of four."""


@dataclass(frozen=True, slots=True)
class Question:
    """One fact as a question, as a sentence to be continued, and as a choice; `choices[0]` is `value`."""

    question: str
    answer: str
    opening: str
    value: str
    choices: tuple[str, ...]


Questions = Mapping[Part, Sequence[Question]]


def questions(world: World, count: int, seed: int = 0) -> Questions:
    """So many questions about authors to be forgotten, and as many about authors who stay and whom no fit has seen."""
    chosen: dict[Part, Sequence[Question]] = {}
    for part in PARTS:
        items = world.items(part)
        if part == "retain":
            items = tuple(item for item in items if item.author in harmless_authors(world))
        chosen[part] = [
            Question(item.question, item.answer, begun, item.values[0], (item.values[0], *world.wrong(item, WRONG)))
            for item in choose(items, count, seed)
            if (begun := opening(item)) is not None
        ]
    return chosen


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """JSON lines, as the tools read them."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
