"""One picture: how well sides are told apart per channel, and the two times that a client reads first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_channels.told import QUANTILES

SHOWN = ("head", "first byte", "head to first byte", "per token")
COLOURS = {"Lethe": "#c44e52", "refusal": "#937860", "floor": "#4c72b0"}
ASKED = {"forget": "forgotten", "never": "strangers"}
GUARD = {"lethe": "Lethe", "off": "guard off"}


def plot(found: Mapping[str, Any], path: Path) -> None:
    """Left: AUC with its upper bound. Right: distributions of times at equal length, flagged against not flagged."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only for the picture
    from matplotlib.lines import Line2D  # noqa: PLC0415 - only for the picture

    figure = plt.figure(figsize=(15, 9), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=[1.5, 1, 1])
    axes = figure.add_subplot(grid[:, 0])
    rows = [
        *((f"text · {name}", one) for name, one in found["text"].items()),
        *((f"counts · {name}", one) for name, one in found["counts"].items()),
        *((f"time · {name}", one["all"]) for name, one in found["time, fixed length"].items()),
        *((f"time, own length · {name}", one["per length"]) for name, one in found["time, natural length"].items()),
    ]
    for place, (label, one) in enumerate(rows):
        name = label.partition(" · ")[2]
        colour = next(colour for start, colour in COLOURS.items() if name.startswith(start))
        axes.plot([one["auc"], one["upper"]], [place, place], color=colour, lw=2)
        axes.plot([one["auc"]], [place], "o", color=colour)
        axes.plot([one["upper"]], [place], "|", color=colour, ms=9)
    axes.axvline(0.5, color="grey", lw=0.8, ls="--")
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(min(0.4, *(one["auc"] - 0.01 for _, one in rows)), 1.01)
    axes.set_xlabel("AUC of a held-out classifier (dot) and one-sided 95 % upper bound (bar)")
    axes.set_title("Told apart (0.5: not at all)")
    axes.grid(axis="x", alpha=0.3)
    marks = [Line2D([], [], color=colour, marker="o", label=name) for name, colour in COLOURS.items()]
    axes.legend(handles=marks, fontsize=8, loc="center right")
    pairs = ("Lethe: forgotten | strangers", "floor: nothing flagged: forgotten | strangers")
    for number, name in enumerate(SHOWN):
        small = figure.add_subplot(grid[number // 2, 1 + number % 2])
        for pair, style in zip(pairs, ("-", ":"), strict=True):
            for side, values in found["time, fixed length"][pair]["quantiles"][name].items():
                guard, asked = side.split("/")
                label = f"{ASKED[asked]}, {GUARD[guard]}"
                colour = COLOURS["Lethe"] if asked == "forget" else COLOURS["floor"]
                small.plot(values, np.array(QUANTILES), style, color=colour, label=label)
        small.set_title(f"{name}, answers of equal length")
        small.set_xlabel("milliseconds")
        small.set_ylabel("share of requests below")
        shown = found["time, fixed length"][pairs[0]]["quantiles"][name].values()
        small.set_xlim(0, 1.1 * max(values[-3] for values in shown))  # the slowest tenth is the machine's
        small.grid(alpha=0.3)
        if number == 0:
            small.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)
