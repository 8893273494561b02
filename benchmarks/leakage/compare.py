"""Two scorecards side by side: which families got better or worse by more than their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SAME = ("tier", "engine", "questions_per_family", "reasoning")


@dataclass(frozen=True, slots=True)
class Change:
    """One family of one arm. `clear`: the intervals of the two excesses do not overlap."""

    arm: str
    family: str
    before: float
    after: float
    clear: bool


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """Families that both scorecards hold, in the order of the first, except those that tell nothing.

    Left out are families that are not measurable or have no interval. Raises `ValueError` when the scorecards differ in
    world, tier, engine, number of questions or reasoning: their differences would not be the systems'.
    """
    for key in SAME:
        if before.get(key) != after.get(key):
            raise ValueError(f"{key} is {before.get(key)} in one scorecard and {after.get(key)} in the other")
    if before["seeds"]["world"] != after["seeds"]["world"]:
        raise ValueError(
            f"the scorecards are about worlds {before['seeds']['world']} and {after['seeds']['world']}; train and "
            "measure both on the same world"
        )
    for arm, measured in before["arms"].items():
        for name, one in measured["families"].items():
            other = after["arms"].get(arm, {}).get("families", {}).get(name)
            if other is not None:
                if not (one["measurable"] and other["measurable"]) or one["alike"] or other["alike"]:
                    continue
                apart = one["hi"] < other["lo"] or other["hi"] < one["lo"]
                yield Change(arm, name, one["excess"], other["excess"], apart)
