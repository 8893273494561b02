"""Pictures of scorecards whose systems were not asked the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.container import ErrorbarContainer

from benchmarks.leakage.plots import families
from benchmarks.leakage.report import report
from benchmarks.leakage.run import SHOWN

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def measured(*names: str) -> dict[str, Any]:
    return {name: {"measurable": True, "excess": 0.5, "lo": 0.4, "hi": 0.6} for name in names}


def test_a_system_that_was_asked_fewer_families_has_fewer_points() -> None:
    card = {"arms": {"wide": {"families": measured("a", "b", "c")}, "narrow": {"families": measured("b", "c")}}}
    figure = families(card, ("narrow", "missing", "wide"))
    bars = [bar for bar in figure.axes[0].containers if isinstance(bar, ErrorbarContainer)]
    heights = [np.asarray(bar.lines[0].get_ydata()).tolist() for bar in bars]
    assert [len(places) for places in heights] == [2, 3]
    assert heights[0] == [1 - 0.09, 2 - 0.09]
    plt.close(figure)


def test_the_committed_scorecard_becomes_a_page() -> None:
    card = json.loads((RESULTS / "leakage.json").read_text(encoding="utf-8"))
    page = report(card, SHOWN, "eco-noise")
    assert page.count("<img") == 4
    assert all(f"<td>{name}<td>" in page for name in card["headline"])
