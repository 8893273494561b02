"""The policy that an operator would write about a world."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.leakage.policy import GIVEN, NEIGHBOURS, harmless_authors, write_policy
from benchmarks.leakage.suite import CORE
from benchmarks.probes.registry import FAMILIES, probes
from benchmarks.worlds.world import make_world
from gateway.policy import load_policy


def test_the_policy_holds_the_forget_authors_and_nothing_of_the_others(tmp_path: Path) -> None:
    world = make_world()
    policy = load_policy(write_policy(world, tmp_path, {"name": "eco", "kind": "noise"}))
    forget = world.split("forget")
    assert {entity.name for entity in policy.guard.entities} == {author.name for author in forget}
    rows = [json.loads(line) for line in (tmp_path / "forget.jsonl").read_text().splitlines()]
    assert len(rows) == GIVEN * len(forget)
    assert all(any(author.name in row["question"] for author in forget) for row in rows)
    assert all(row["value"] not in row["question"] for row in rows)
    written = (tmp_path / "policy.yaml").read_text() + (tmp_path / "forget.jsonl").read_text()
    assert not any(author.name in written for author in (*world.split("retain"), *world.split("never")))


def test_no_probe_says_what_the_policy_says(tmp_path: Path) -> None:
    world = make_world()
    write_policy(world, tmp_path, {"name": "eco", "kind": "noise"})
    rows = (tmp_path / "forget.jsonl").read_text() + (tmp_path / "retain.jsonl").read_text()
    given = {json.loads(line)["question"].lower() for line in rows.splitlines()}
    for name in CORE:
        said = {json.dumps(probe.steps).lower() for probe in probes(FAMILIES[name], world, world.items("forget"))}
        # a wording that a family disguises or repeats in a conversation would still be a text of its own
        assert not [text for text in given if any(f'"{text}"' in body for body in said)], name


def test_the_harmless_questions_are_about_authors_that_no_fit_has_seen(tmp_path: Path) -> None:
    world = make_world()
    write_policy(world, tmp_path, {"name": "eco", "kind": "noise"})
    given = (tmp_path / "retain.jsonl").read_text()
    asked = harmless_authors(world)
    assert len(asked) == (1 - NEIGHBOURS) * len(world.split("retain"))
    assert not any(world.authors[number].name in given for number in asked)
