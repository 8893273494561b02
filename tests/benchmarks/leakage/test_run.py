"""What is asked, and the two limits of a guard."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.leakage.oracle import Always, Never
from benchmarks.leakage.run import choose
from benchmarks.leakage.suite import CORE, NARROW, suite
from benchmarks.worlds.world import make_world
from guards.verdict import Span, TextPart, Verdict

PARTS = [TextPart("/messages/0/content", "user", "Who is Ada Quill?"), TextPart("/messages/1/content", "user", "Hm?")]
HIT = Verdict("1", True, 1.0, 0.001, "alias", (Span(0, 7, 16),), (Span(0, 0, 17),))
MISS = Verdict("1", False, 0.1, 0.5, "none")


class Fixed:
    """A guard with one answer."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    def scan(self, parts: object, policies: object = None) -> list[Verdict]:
        return [self.verdict]


def test_always_keeps_what_the_guard_found() -> None:
    assert Always(Fixed(HIT)).scan(PARTS) == [HIT]


def test_always_flags_all_texts_where_the_guard_found_nothing() -> None:
    (found,) = Always(Fixed(MISS)).scan(PARTS)
    assert found.flagged
    assert found.windows == (Span(0, 0, 17), Span(1, 0, 3))


def test_never_flags_nothing() -> None:
    (found,) = Never(Fixed(HIT)).scan(PARTS)
    assert (found.flagged, found.entities, found.windows) == (False, (), ())


def test_items_are_chosen_evenly_from_all_authors() -> None:
    items = make_world().items("forget")
    chosen = choose(items, 100, seed=0)
    assert len(set(chosen)) == 100
    assert set(Counter(item.author for item in chosen).values()) <= {4, 5}
    assert len({item.attribute for item in chosen}) == len({item.attribute for item in items})
    assert choose(items, 100, seed=0) == chosen != choose(items, 100, seed=1)


def test_suites() -> None:
    assert set(suite("narrow")) == set(NARROW) < set(suite("core")) == set(CORE) < set(suite("all"))
    assert list(suite("direct,cloze")) == ["direct", "cloze"]
    with pytest.raises(ValueError, match="no such probe family: dirct"):
        suite("dirct")
