"""Two scorecards side by side."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.leakage.compare import changes


def card(excess: float, spread: float, world: int = 0, tier: str = "tiny") -> dict[str, Any]:
    family = {"excess": excess, "lo": excess - spread, "hi": excess + spread, "measurable": True, "alike": spread == 0}
    return {"tier": tier, "seeds": {"world": world}, "arms": {"bare": {"families": {"direct": family}}}}


@pytest.mark.parametrize(("after", "clear"), [(0.5, False), (0.62, False), (0.9, True), (0.1, True)])
def test_a_change_is_clear_when_the_intervals_are_apart(after: float, clear: bool) -> None:
    (found,) = changes(card(0.5, 0.1), card(after, 0.1))
    assert (found.before, found.after, found.clear) == (0.5, after, clear)


def test_what_only_one_side_has_is_left_out() -> None:
    assert list(changes(card(0.5, 0.1), {"tier": "tiny", "seeds": {"world": 0}, "arms": {}})) == []


def test_a_family_without_an_interval_says_nothing() -> None:
    assert list(changes(card(0.5, 0.1), card(0.9, 0.0))) == []


def test_other_models_do_not_compare() -> None:
    with pytest.raises(ValueError, match="tier is tiny in one scorecard and gpu in the other"):
        list(changes(card(0.5, 0.1), card(0.5, 0.1, tier="gpu")))


def test_other_worlds_do_not_compare() -> None:
    with pytest.raises(ValueError, match="same world"):
        list(changes(card(0.5, 0.1), card(0.5, 0.1, world=1)))
