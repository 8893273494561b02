"""Picture of `benchmarks.methods`: what leaks, and whether the answers stay on topic, a row per target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FIGURES = {"on_topic": "on topic", "repetition": "repeated 4-grams", "distinct_2": "distinct-2"}


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw and save."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only for the picture

    targets = result["targets"]
    wide = max(12.0, 1.9 * max(len(target["methods"]) for target in targets.values()))
    figure, axes = plt.subplots(len(targets), 2, figsize=(wide, 4 * len(targets)), layout="constrained", squeeze=False)
    for (name, target), (left, right) in zip(targets.items(), axes, strict=True):
        rows = target["methods"]
        places = np.arange(len(rows))
        for i, (key, colour) in enumerate((("leak@1", "#4c72b0"), ("leak@16", "#dd8452"))):
            shares = np.array([row[key]["share"] for row in rows.values()])
            low, high = np.array([row[key]["ci95"] for row in rows.values()]).T
            place = places + 0.4 * (i - 0.5)
            left.bar(place, 100 * shares, 0.38, label=key, color=colour)
            left.errorbar(place, 100 * shares, 100 * np.array([shares - low, high - shares]), fmt="none", color="black")
        left.set_ylabel("questions with the value, %")
        left.set_title(f"{name}: leakage of caught questions (n = {target['questions']})")
        for i, (key, label) in enumerate(FIGURES.items()):
            right.bar(places + 0.27 * (i - 1), [row[key] for row in rows.values()], 0.25, label=label)
        right.set_title(f"{name}: are the answers language? (perplexity in brackets)")
        right.set_ylim(0, 1.3)
        left.set_xticks(places, [label.replace(" ", "\n") for label in rows])
        right.set_xticks(
            places, [label.replace(" ", "\n") + f"\n({row['perplexity']:.1f})" for label, row in rows.items()]
        )
        left.set_ylim(0, 120)
        left.legend(loc="upper right", ncols=2)
        right.legend(loc="upper right", ncols=3)
    figure.savefig(path, dpi=120)


def plot_search(result: dict[str, Any], path: Path) -> None:
    """What every strength of a logit difference leaks in the search, a panel per method; no picture where none is."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only for the picture

    found = [
        (name, label, row)
        for name, target in result["targets"].items()
        for label, row in target["methods"].items()
        if "search" in row
    ]
    if not found:
        return
    figure = Figure(figsize=(5.5 * len(found), 5.4), layout="constrained")
    for panel, (target, label, row) in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        for kept, marker in zip(sorted({p["kept"] for p in row["search"]}), "osD^v", strict=False):
            points = sorted((p for p in row["search"] if p["kept"] == kept), key=lambda p: p["strength"])
            for key, colour, said in (("own", "#4c72b0", "greedy"), ("sampled", "#dd8452", "any of 16")):
                places, shares = [p["strength"] for p in points], [100 * p[key] for p in points]
                panel.plot(places, shares, marker=marker, color=colour, label=f"{said}, {kept:.0f} best kept")
        never = row["search_surrogate"]
        panel.axhline(100 * never["sampled"], color="#dd8452", linestyle=":", label="invented names, any of 16")
        panel.axhline(100 * never["own"], color="#4c72b0", linestyle=":", label="invented names, greedy")
        chosen = row["program"]["strength"]
        panel.axvline(chosen, color="grey", linestyle="--", label=f"chosen: {chosen:g}")
        panel.set(title=f"{target}: {label}", xlabel=row["program"]["unit"], ylim=(-4, 104))
        panel.set_ylabel("held-out wordings with the value asked for, %")
        panel.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    figure.savefig(path, dpi=120)
