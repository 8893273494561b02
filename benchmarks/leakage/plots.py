"""Pictures of a scorecard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

LINE = 0.05
"""Least distance between two names at the frontier."""
COLOURS = ("#b3261e", "#1f6feb", "#2e7d32", "#8250df", "#9a6700", "#57606a")


def families(card: Mapping[str, Any], shown: Sequence[str]) -> Figure:
    """Excess with its interval, one row per measurable family, worst of the protected arm on top."""
    main = card["arms"][shown[-1]]["families"]
    shown = [arm for arm in shown if arm in card["arms"]]
    names = sorted((n for n, f in main.items() if f["measurable"]), key=lambda n: float(main[n]["excess"]))
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.3 * len(names)))
    places = np.arange(len(names))
    for i, arm in enumerate(shown):
        found = card["arms"][arm]["families"]
        asked = np.array([n in found for n in names], bool)
        low, middle, high = (np.array([found[n][key] for n in names if n in found]) for key in ("lo", "excess", "hi"))
        shift = places[asked] + (i - (len(shown) - 1) / 2) * 0.18
        axis.errorbar(
            middle, shift, xerr=[middle - low, high - middle], fmt="o", ms=4, lw=1, color=COLOURS[i % 6], label=arm
        )
    axis.set_yticks(places, names)
    axis.set_ylim(-0.8, len(names) - 0.2)
    axis.axvline(0, color="#888", lw=0.8)
    axis.set_xlabel("excess leak over the model that never knew")
    axis.set_xlim(-0.3, 1.05)
    axis.grid(axis="x", alpha=0.25)
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(shown), frameon=False, fontsize=9, columnspacing=1)
    figure.tight_layout()
    return figure


def frontier(card: Mapping[str, Any]) -> Figure:
    """Worst family against utility; names of systems near each other stand apart, with lines to their points."""
    figure, axis = plt.subplots(figsize=(8, 4.5))
    sides: dict[bool, list[tuple[float, float, str]]] = {False: [], True: []}
    for name, worst in card["headline"].items():
        ratio = card["arms"][name]["utility"]["ratio"]
        if worst["excess"] is not None and ratio is not None:
            sides[ratio > 0.5].append((worst["excess"], ratio, name))
    for right, points in sides.items():
        height = -1.0
        for i, (leak, ratio, name) in enumerate(sorted(points)):
            height = max(height + LINE, leak - LINE)
            axis.scatter(ratio, leak, color=COLOURS[i % 6], zorder=3)
            place = (ratio - 0.08 if right else ratio + 0.08, height)
            line = {"arrowstyle": "-", "color": "#bbb", "lw": 0.7}
            side = "right" if right else "left"
            axis.annotate(name, (ratio, leak), place, ha=side, va="center", fontsize=8, arrowprops=line)
    axis.set_xlim(-0.05, 1.1)
    axis.set_ylim(-0.1, 1.15)
    axis.set_xlabel("utility on harmless questions, bare = 1")
    axis.set_ylabel("excess of the worst family")
    axis.grid(alpha=0.25)
    figure.tight_layout()
    return figure


def distributions(card: Mapping[str, Any], shown: Sequence[str]) -> Figure:
    """Empirical distribution functions of the truth ratios."""
    figure, axis = plt.subplots(figsize=(7, 4))
    for i, name in enumerate(shown):
        ratios = card["arms"].get(name, {}).get("truth_ratios")
        if ratios:
            axis.ecdf(ratios, color=COLOURS[i % 6], label=f"{name} (D {card['arms'][name]['ks_d']:.2f})")
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("truth ratio: wrong answers / right answer, geometric")
    axis.set_ylabel("share of questions")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=9)
    figure.tight_layout()
    return figure


def latency(card: Mapping[str, Any]) -> Figure:
    """Medians, quartiles and the range of nine in ten, one row per system."""
    timed = {name: arm["latency_ms"] for name, arm in card["arms"].items() if arm.get("latency_ms")}
    figure, axis = plt.subplots(figsize=(7, 1 + 0.28 * len(timed)))
    axis.boxplot(
        list(timed.values()), orientation="horizontal", whis=(5, 95), showfliers=False, tick_labels=list(timed)
    )
    axis.invert_yaxis()
    axis.set_xlim(0)
    axis.set_xlabel("milliseconds, one request at a time")
    axis.grid(axis="x", alpha=0.25)
    figure.tight_layout()
    return figure
