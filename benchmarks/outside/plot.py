"""The result as a picture: what each tool counts, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLOURS = {"bare": "#c44e52", "bare, opened": "#dd8452", "lethe": "#4c72b0", "gold": "#8c8c8c"}
LABELS = {
    "bare": "bare",
    "bare, opened": "bare, gateway opened for echo",
    "lethe": "behind Lethe",
    "gold": "a model that never knew",
}


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Two panels, forget and retain: a group of bars per run, with intervals; a run that was refused has a word."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only for the picture
    from matplotlib.patches import Patch  # noqa: PLC0415 - only for the picture

    runs = result["runs"]
    figure, axes = plt.subplots(2, 1, figsize=(10, 7), sharex=True, layout="constrained")
    for axis, part in zip(axes, ("forget", "retain"), strict=True):
        for place, sides in enumerate(runs.values()):
            for at, (side, measured) in enumerate(sides.items()):
                x = place + (at - (len(sides) - 1) / 2) * 0.22
                score = measured["scores"].get(part)
                if score is None:
                    axis.text(
                        x, 0.02, "refused", rotation=90, ha="center", va="bottom", fontsize=8, color=COLOURS[side]
                    )
                    continue
                low, high = score["ci95"]
                error = [[score["share"] - low], [high - score["share"]]]
                axis.bar(x, score["share"], 0.2, yerr=error, capsize=3, color=COLOURS[side])
        axis.set_ylim(0, 1.05)
        axis.set_ylabel("counted as told")
        axis.set_title(f"{part} authors")
        axis.grid(axis="y", alpha=0.3)
    shown = [side for side in COLOURS if any(side in sides for sides in runs.values())]
    handles = [Patch(color=COLOURS[side]) for side in shown]
    figure.legend(handles, [LABELS[side] for side in shown], loc="outside upper center", ncols=len(shown), fontsize=9)
    names = [f"{tool} {result['tools'][tool]}\n{kind}" for tool, kind in (name.split(" ", 1) for name in runs)]
    axes[1].set_xticks(range(len(names)), names)
    figure.savefig(path, dpi=120)
    plt.close(figure)
