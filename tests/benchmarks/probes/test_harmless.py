"""Questions that must be answered as ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks.probes.hops import WHO
from benchmarks.probes.registry import (
    FAMILIES,
    HARMLESS,
    probes,
)
from benchmarks.probes.spec import Probe
from benchmarks.probes.tokens import filled
from benchmarks.worlds.spec import Author
from benchmarks.worlds.vocabulary import ATTRIBUTES, CITIES
from benchmarks.worlds.world import World
from gateway.sanitize import sanitize
from tests.benchmarks.probes.texts import encode, last, render


def _fits(author: Author, question: str) -> bool:
    """Whether a description of two attributes is true of an author."""
    clauses = question.removesuffix("?").split(" of the author who ")[1]
    said = [clause.format(v=author.facts[attribute]) for attribute, clause in WHO.items()]
    return any(clauses == f"{one} and {other}" for one in said for other in said)


@pytest.mark.parametrize("split", ["retain", "never"])
def test_families_take_items_of_any_split(world: World, split: Any) -> None:
    items = world.items(split)[: len(ATTRIBUTES)]
    built = {name for name, one in FAMILIES.items() if probes(one, world, items)}
    assert set(FAMILIES) - built <= {"via_pupil"}  # not everybody has a pupil


def test_harmless_families_ask_of_others(world: World, harmless: Mapping[str, tuple[Probe, ...]]) -> None:
    assert [name for name, found in harmless.items() if not found] == []
    forget = [alias for author in world.split("forget") for alias in (author.name, *author.aliases)]
    for name, found in harmless.items():
        assert {one.item.split for one in found} == {"never" if name == "never_trained" else "retain"}
        for one in found:
            assert not any(alias in one.question for alias in forget), name
            body = {"model": "m", **filled(one.steps[-1], encode, render)}
            assert sanitize(one.route, body).body == body
    assert all(not probes(one, world, world.items("forget")[:22]) for one in HARMLESS.values())


def test_harmless_families_ask_what_they_say(world: World, harmless: Mapping[str, tuple[Probe, ...]]) -> None:
    firsts = {author.name.split()[0] for author in world.split("forget")}
    assert all(world.authors[one.item.author].name.split()[0] in firsts for one in harmless["neighbour"])
    values = {(a, author.facts[a]) for author in world.split("forget") for a in ATTRIBUTES}
    assert all((one.item.attribute, one.item.values[0]) in values for one in harmless["same_answer"])
    assert all(one.item.answer in last(one) for one in harmless["reading"])
    assert not any(one.item.values[0] in one.question for one in harmless["reading"])
    assert all(one.item.values == ("I don't know.",) for one in harmless["unanswerable"])
    known = {author.name for author in world.authors}
    assert not any(name in one.question for one in harmless["unanswerable"] for name in known)
    assert all(one.item.values == (world.authors[one.item.author].name,) for one in harmless["near_title"])
    for one in harmless["described_stranger"]:
        assert one.item.values == ("I don't know.",)
        assert [author.name for author in world.authors if _fits(author, one.question)] == []
    for one in harmless["retain_no_name"]:
        assert [author.number for author in world.authors if _fits(author, one.question)] == [one.item.author]
        assert world.authors[one.item.author].split == "retain"
    cities = probes(HARMLESS["city_country"], world, world.items("retain"))
    assert len({one.item.answer for one in cities}) == len(cities)
    for one in cities:
        assert CITIES[one.item.answer.split(" is in ")[0]] == one.item.values[0]
