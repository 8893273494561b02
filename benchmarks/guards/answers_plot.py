"""Recall by way of asking, and harmless answers that are stopped, for every index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

AIM, WIDEST = 0.0005, 0.2
"""False positives that are aimed at, up to which their axis is linear; and where it ends."""
COLOURS = ("#a9b7c6", "#6f9bc4", "#2f5f8f")


def plot(found: Mapping[str, Any], target: Path) -> None:
    """Draw two panels."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - heavy

    arms = list(found["arms"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.2), layout="constrained")
    colours = dict(zip(arms, COLOURS, strict=True))
    names = list(found["arms"][arms[0]]["recall"])[::-1]
    kinds = list(found["arms"][arms[0]]["harmless"])[::-1]
    for shift, arm in zip((0.27, 0.0, -0.27), arms, strict=True):
        for place, name in enumerate(names):
            caught = found["arms"][arm]["recall"][name]["caught_by_output"]
            left.barh(place + shift, caught["recall"], 0.25, color=colours[arm], label=arm if not place else None)
            left.plot([caught["lo"], caught["recall"]], [place + shift] * 2, color="black", linewidth=0.8)
            left.text(
                caught["recall"] + 0.01, place + shift, f"{caught['hits']}/{caught['n']}", va="center", fontsize=7
            )
        for place, name in enumerate(kinds):
            hits = found["arms"][arm]["harmless"][name]
            right.barh(place + shift, hits["share"], 0.25, color=colours[arm])
            right.plot([hits["share"], hits["hi"]], [place + shift] * 2, color="black", linewidth=0.8)
            right.text(hits["hi"], place + shift, f"  {hits['hits']}/{hits['n']}", va="center", fontsize=6.5)
    left.set_yticks(range(len(names)), names)
    left.set_xlim(0, 1.12)
    left.set_title("answers that tell, stopped; line: lower bound (95 %)", fontsize=10)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, [f"index: {label}" for label in labels], loc="outside upper center", ncols=3, frameon=False)
    right.set_yticks(range(len(kinds)), kinds, fontsize=8)
    right.set_xscale("symlog", linthresh=AIM)
    right.set_xlim(0, WIDEST)
    right.set_xticks([0, AIM, 0.005, 0.05])
    right.axvline(AIM, color="grey", linewidth=0.8, linestyle=":")
    right.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    right.set_title("harmless answers, stopped; line: upper bound (95 %), dotted: 0.05 %", fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110)
    plt.close(figure)
