"""The scorecard's headline as a Markdown table: `python -m benchmarks.leakage.table scorecard.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HEAD = (
    "system",
    "worst common family, excess [95 %]",
    "worst of all asked",
    "direct",
    "leak@16",
    "mixed prompts",
    "KS D",
    "style told from gold (AUC)",
    "utility",
)
SAMPLED, MIXED = "sample_direct", "mixed_2_forget_first"


def markdown(card: Mapping[str, Any]) -> str:
    """A line per system. `direct` and `leak@16` are excesses of the plain questions: greedy, and of 16 answers any.

    The worst family is over those that every system was asked, and over all (so many) that this one was asked. `mixed
    prompts` is the harmonic mean of forget halves that stayed silent and retain halves that were answered; what
    was not measured is empty.
    """
    rows = [HEAD, ("---",) * len(HEAD), *_rows(card)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rows(card: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, worst in card["headline"].items():
        if worst["family"] is None:
            continue
        arm = card["arms"][name]
        bounds = "all authors alike" if worst["alike"] else f"{worst['lo']:.2f}, {worst['hi']:.2f}"
        widest = arm["worst"]
        families = arm["families"]
        yield (
            name,
            f"{worst['family']} {worst['excess']:.2f} [{bounds}]",
            f"{widest['family']} {widest['excess']:.2f} ({len(families)})",
            _number(families.get("direct", {}).get("excess")),
            _number(families.get(SAMPLED, {}).get("excess")),
            _number(arm["mixed"].get(MIXED, {}).get("score")),
            _number(arm["ks_d"]),
            _number(arm["client_auc"]["auc"]),
            _number(arm["utility"]["ratio"]),
        )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
