"""A generated world -> the policy files of an operator who forgets its forget authors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.worlds.spec import Author, Item
from benchmarks.worlds.templates import sentence, verbal
from benchmarks.worlds.vocabulary import ATTRIBUTES
from benchmarks.worlds.world import World
from benchmarks.worlds.world import item as item_of

GIVEN = 5
"""Questions per forget author that the operator knows. They are asked in a wording that no family of probes uses."""
NEIGHBOURS = 0.25
"""Share of the retain authors whose questions the operator gives as harmless; the benchmark asks about the others."""


def write_policy(
    world: World,
    folder: Path,
    method: dict[str, Any],
    *,
    number: int = 300_000,
    response: str = "ignorance",
    authors: Sequence[Author] | None = None,
) -> Path:
    """Write `policy.yaml` with its files for `lethe compile`; returns its path.

    One engine holds the programs of several arms, so each needs a `number` of its own.

    The operator knows the names and pen names of the authors, some questions in the plainest words, one passage per
    author, and the values. Nothing is taken from the probes. `authors` are those to forget, where it is not all forget
    authors of the world by one policy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    forget = world.split("forget") if authors is None else tuple(authors)
    given = [asked for author in forget for asked in _given(author)]
    rows = [{"question": asked.question, "answer": asked.answer, "value": asked.values[0]} for asked in given]
    _write_rows(folder / "forget.jsonl", rows)
    known = _neighbours(world)
    _write_rows(folder / "retain.jsonl", [{"question": a.question} for n in known for a in _given(n)])
    policy = {
        "apiVersion": "lethe/v1",
        "id": "forgotten-authors",
        "number": str(number),
        "guard": {
            "granularity": "entity",
            "topic": "The lives and books of some authors.",
            "entities": [
                {"name": author.name, "aliases": list(author.aliases), "titles": list(author.books)}
                for author in forget
            ],
            "values": sorted({author.facts[attribute] for author in forget for attribute in ATTRIBUTES}),
            "examples_file": "forget.jsonl",
            "retain_file": "retain.jsonl",
            "passages": [
                " ".join(sentence(attribute, author.name, value) for attribute, value in author.facts.items())
                for author in forget
            ],
        },
        "method": method,
        "rules": {"mode": "enforce", "response": response},
    }
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(policy, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def harmless_authors(world: World) -> set[int]:
    """Retain authors whom no fit has seen."""
    return {author.number for author in world.split("retain")} - {author.number for author in _neighbours(world)}


def _neighbours(world: World) -> Sequence[Author]:
    retain = world.split("retain")
    return retain[: round(NEIGHBOURS * len(retain))]


def _given(author: Author) -> list[Item]:
    """Some questions about one author, other attributes for the next one."""
    attributes = [attribute for attribute in author.facts if len(verbal(attribute)) > 1]
    first = author.number % len(attributes)
    turned = attributes[first:] + attributes[:first]
    return [
        replace(item_of(author, attribute), question=verbal(attribute)[1].format(n=author.name))
        for attribute in turned[:GIVEN]
    ]


def _write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
