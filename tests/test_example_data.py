"""The rows of the Harry Potter example: reproducible, disjoint, and nothing gives its own answer away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from gateway.policy import ForgetPolicy, load_policy

EXAMPLE = Path(__file__).parents[1] / "deploy" / "examples" / "harry-potter"
SPLITS = ("fit", "heldout", "audit")
PAIRS = list(combinations(SPLITS, 2))
KINDS = ("forget", "retain", "invented")
FILES = [f"{split}/{kind}.jsonl" for split in SPLITS for kind in KINDS]


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLE / name).read_text(encoding="utf-8").splitlines()]


def texts(row: dict[str, Any]) -> str:
    return row["question"] if "question" in row else " ".join(turn["content"] for turn in row["messages"])


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def grams(name: str, size: int) -> set[tuple[str, ...]]:
    found = set()
    for row in rows(name):
        tokens = words(texts(row))
        found |= {tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)}
    return found


def holds(value: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None


@pytest.fixture(scope="module")
def policy() -> ForgetPolicy:
    return load_policy(EXAMPLE / "policy.yaml")


def test_generator_reproduces_the_committed_files(tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLE / "make_data.py", tmp_path], check=True)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (EXAMPLE / name).read_bytes(), f"{name}: run make_data.py again"


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("fit/forget.jsonl", 150),
        ("heldout/forget.jsonl", 220),
        ("audit/forget.jsonl", 250),
        ("fit/retain.jsonl", 300),
        ("heldout/retain.jsonl", 600),
        ("audit/retain.jsonl", 550),
        ("fit/invented.jsonl", 100),
        ("heldout/invented.jsonl", 200),
        ("audit/invented.jsonl", 220),
    ],
)
def test_enough_rows(name: str, least: int) -> None:
    assert len(rows(name)) >= least


@pytest.mark.parametrize("split", SPLITS)
def test_schema(split: str) -> None:
    assert all(set(row) == {"id", "question", "value", "form", "fact"} for row in rows(f"{split}/forget.jsonl"))
    assert all(set(row) == {"id", "question", "form", "fact"} for row in rows(f"{split}/invented.jsonl"))
    for row in rows(f"{split}/retain.jsonl"):
        asked = set(row) - {"id", "kind", "topic"}
        # the fitting part is read by the guard, which takes questions only
        assert asked == {"question"} or (split != "fit" and asked == {"messages"})
        assert row["kind"] in {"general", "neighbour"}
        if "messages" in row:
            assert [turn["role"] for turn in row["messages"]] == ["user", "assistant", "user"]


def test_ids_and_questions_are_unique() -> None:
    every = [row for name in FILES for row in rows(name)]
    assert not [key for key, count in Counter(row["id"] for row in every).items() if count > 1]
    assert not [key for key, count in Counter(" ".join(words(texts(row))) for row in every).items() if count > 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("earlier", "later"), PAIRS)
def test_splits_share_no_eight_words(earlier: str, later: str, kind: str) -> None:
    shared = grams(f"{earlier}/{kind}.jsonl", 8) & grams(f"{later}/{kind}.jsonl", 8)
    assert not shared


@pytest.mark.parametrize(("earlier", "later"), PAIRS)
def test_few_questions_contain_one_of_an_earlier_part(earlier: str, later: str) -> None:
    known = [f" {' '.join(words(row['question']))} " for row in rows(f"{earlier}/forget.jsonl")]
    asked = [f" {' '.join(words(row['question']))} " for row in rows(f"{later}/forget.jsonl")]
    assert sum(any(inner in outer for inner in known) for outer in asked) <= 0.2 * len(asked)


@pytest.mark.parametrize("split", SPLITS)
def test_no_question_holds_its_own_value(split: str) -> None:
    assert not [row for row in rows(f"{split}/forget.jsonl") if holds(row["value"], row["question"])]


@pytest.mark.parametrize("split", SPLITS)
def test_harmless_rows_hold_no_value_and_no_name(split: str, policy: ForgetPolicy) -> None:
    named = [name for entity in policy.guard.entities for name in (entity.name, *entity.aliases)]
    forbidden = {*named, *(row["value"] for row in rows(f"{split}/forget.jsonl"))}
    # first names, brands and place names of the real world are a hard neighbour's whole point
    allowed = {"Hermione", "Ron", "Emma Watson", "Daniel Radcliffe", "Bloomsbury", "Hedwig", "Sirius", "Dobby"}
    allowed |= {"Snape", "Dursley", "Philosopher's Stone", "Witchcraft"}
    for kind, exempt in (("retain", allowed), ("invented", set[str]())):
        for row in rows(f"{split}/{kind}.jsonl"):
            assert not [name for name in forbidden - exempt if holds(name, texts(row))], row


@pytest.mark.parametrize("split", SPLITS)
def test_few_harmless_rows_hold_two_related_names(split: str, policy: ForgetPolicy) -> None:
    related = {name for entity in policy.guard.entities for name in entity.related}
    named = [sum(holds(name, texts(row)) for name in related) for row in rows(f"{split}/retain.jsonl")]
    assert sum(count > 1 for count in named) <= 3


@pytest.mark.parametrize("split", SPLITS)
def test_invented_rows_hold_no_policy_value(split: str, policy: ForgetPolicy) -> None:
    for row in rows(f"{split}/invented.jsonl"):
        assert not [value for value in policy.guard.values if holds(value, row["question"])], row


def test_invented_names_are_many_and_disjoint() -> None:
    worlds = json.loads((EXAMPLE / "invented.json").read_text(encoding="utf-8"))["worlds"]
    names = {split: {n for w in worlds if w["split"] == split for n in w["names"].values()} for split in SPLITS}
    assert all(len(found) >= 60 for found in names.values())
    for earlier, later in PAIRS:
        assert not {n.casefold() for n in names[earlier]} & {n.casefold() for n in names[later]}


def test_half_of_the_retain_rows_are_neighbours_of_mostly_new_topics() -> None:
    topics: dict[str, set[str]] = {}
    for split in SPLITS:
        found = rows(f"{split}/retain.jsonl")
        share = sum(row["kind"] == "neighbour" for row in found) / len(found)
        assert 0.4 <= share <= 0.6
        topics[split] = {row["topic"] for row in found if row["kind"] == "neighbour"}
    for earlier, later in PAIRS:
        assert len(topics[later] - topics[earlier]) >= len(topics[later]) / 2


def test_policy_names_are_unique_and_its_files_exist(policy: ForgetPolicy) -> None:
    names = [
        name.casefold() for entity in policy.guard.entities for name in (entity.name, *entity.aliases, *entity.related)
    ]
    assert not [name for name, count in Counter(names).items() if count > 1]
    for path in (policy.guard.examples_file, policy.guard.retain_file):
        assert path is not None
        assert (EXAMPLE / path).is_file()


def test_every_value_that_is_asked_for_is_a_value_or_name_of_the_policy(policy: ForgetPolicy) -> None:
    known = {value.casefold() for value in policy.guard.values}
    for entity in policy.guard.entities:
        known |= {name.casefold() for name in (entity.name, *entity.aliases, *entity.related)}
    asked = {row["value"] for split in SPLITS for row in rows(f"{split}/forget.jsonl")}
    assert not {value for value in asked if value.casefold() not in known}
