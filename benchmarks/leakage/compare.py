"""Two scorecards side by side: which families got better or worse by more than their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """One family of one arm. `clear`: the intervals of the two excesses do not overlap."""

    arm: str
    family: str
    before: float
    after: float
    clear: bool


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """All families that both scorecards hold, in the order of the first.

    Raises `ValueError` when they are about different worlds.
    """
    if before["seeds"]["world"] != after["seeds"]["world"]:
        raise ValueError(
            f"the scorecards are about worlds {before['seeds']['world']} and {after['seeds']['world']}; train and "
            "measure both on the same world"
        )
    for arm, measured in before["arms"].items():
        for name, one in measured["families"].items():
            other = after["arms"].get(arm, {}).get("families", {}).get(name)
            if other is not None:
                apart = one["hi"] < other["lo"] or other["hi"] < one["lo"]
                yield Change(arm, name, one["excess"], other["excess"], apart)
