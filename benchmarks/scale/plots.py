"""Pictures of the three results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

RED, BLUE, GREEN, GREY, PURPLE, OCHRE = "#b3261e", "#1f6feb", "#2e7d32", "#57606a", "#8250df", "#9a6700"


def policies(found: Mapping[str, Any], path: Path) -> None:
    """Leak, recall, false positives and cost against the number of policies."""
    levels = {int(level): figures for level, figures in found["levels"].items()}
    figure, axes = plt.subplots(2, 2, figsize=(11.5, 8.6), layout="constrained")
    for axis, draw in zip(axes.flat, (_leak, _recall, _false, _cost), strict=True):
        draw(axis, levels)
        axis.set_xscale("log")
        axis.set_xticks(list(levels), [str(level) for level in levels])
        axis.minorticks_off()
        axis.grid(alpha=0.25)
        axis.set_xlabel("policies on one gateway")
        columns = 2 if draw is _cost else 3
        axis.legend(frameon=False, fontsize=8, ncols=columns, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _leak(axis: Any, levels: Mapping[int, Any]) -> None:
    for side, colour, label in (("named", BLUE, "author is named"), ("unnamed", RED, "author is known by a book")):
        pooled = {level: one["served"]["pooled"][side] for level, one in levels.items()}
        pooled = {level: row for level, row in pooled.items() if row["excess"] is not None}
        _line(axis, list(pooled), list(pooled.values()), "excess", colour, label)
    axis.set_title("Excess leak over the model that never knew")
    axis.set_ylim(-0.1, 1.03)


def _recall(axis: Any, levels: Mapping[int, Any]) -> None:
    shown = {"direct": BLUE, "via_book": OCHRE, "no_name": GREEN, "inverse_facts": PURPLE, "inverse_book": RED}
    for family, colour in shown.items():
        rows = [one["detection"]["recall"][family]["own"] for one in levels.values()]
        _line(axis, list(levels), rows, "share", colour, family)
    axis.set_title("Recall of the author's own policy")
    axis.set_ylim(-0.03, 1.03)


def _false(axis: Any, levels: Mapping[int, Any]) -> None:
    shown = {
        "retain": (BLUE, "plain questions, authors kept"),
        "retain_via_book": (RED, "by a book, authors kept"),
        "never_trained": (GREY, "strangers"),
        "truthfulqa": (GREEN, "TruthfulQA"),
    }
    for kind, (colour, label) in shown.items():
        rows = [one["detection"]["false_positives"].get(kind) for one in levels.values()]
        if None not in rows:
            _line(axis, list(levels), [row["any"] for row in rows], "share", colour, label)
    axis.set_title("Harmless requests that are flagged")
    axis.set_ylim(bottom=-0.005)


def _cost(axis: Any, levels: Mapping[int, Any]) -> None:
    for tokens, colour in ((32, BLUE), (512, RED)):
        for name, style, label in (
            (f"scan_{tokens}_ms", "-", "guard alone"),
            (f"http_{tokens}_added_ms", "--", "HTTP"),
        ):
            values = [one["cost"][name] for one in levels.values()]
            axis.plot(list(levels), values, style, marker="o", ms=4, color=colour, label=f"{label}, {tokens} tokens")
    axis.set_title("Median added latency, ms")
    axis.set_ylim(bottom=0)


def _line(axis: Any, at: Sequence[float], rows: Sequence[Mapping[str, Any]], key: str, colour: str, label: str) -> None:
    """Values with their intervals `lo` and `hi`."""
    values = np.array([row[key] for row in rows], float)
    low, high = (np.array([row[end] for row in rows], float) for end in ("lo", "hi"))
    errors = [np.maximum(values - low, 0), np.maximum(high - values, 0)]
    axis.errorbar(at, values, yerr=errors, marker="o", ms=4, lw=1.4, capsize=2, color=colour, label=label)


def entanglement(found: Mapping[str, Any], path: Path) -> None:
    """Leak against the share of facts in common; utility by kind of fact at the largest share."""
    levels = found["levels"]
    at = [100 * float(level) for level in levels]
    figure, (leak, kept) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
    arms = {"bare": (RED, "no protection"), "eco-noise": (BLUE, "Lethe"), "output_filter": (GREEN, "output filter")}
    for arm, (colour, label) in arms.items():
        _line(leak, at, [one["arms"][arm]["pooled"]["all"] for one in levels.values()], "excess", colour, label)
    leak.set_xticks(at, [f"{x:.0f} %" for x in at])
    leak.set_xlabel("forget facts shared with a retain author")
    leak.set_title("Excess leak about forgotten authors")
    most = list(levels.values())[-1]["arms"]
    kinds = {"entangled": "shared with\na forgotten friend", "same_value": "value of a forgotten\nauthor by chance"}
    kinds |= {"other": "value of no\nforgotten author"}
    for i, arm in enumerate(("eco-noise", "output_filter")):
        rows = [most[arm]["utility"][kind] for kind in kinds]
        values = np.array([row["share"] or 0.0 for row in rows])
        errors = [[v - (row["lo"] or 0.0) for v, row in zip(values, rows, strict=True)]]
        errors.append([(row["hi"] or 0.0) - v for v, row in zip(values, rows, strict=True)])
        colour, label = arms[arm]
        places = np.arange(len(kinds)) + 0.36 * (i - 0.5)
        kept.bar(places, values, 0.34, yerr=np.maximum(errors, 0), capsize=3, color=colour, label=label)
    kept.set_xticks(
        range(len(kinds)), [f"{label}\n(n = {n})" for label, n in zip(kinds.values(), _sizes(most, kinds), strict=True)]
    )
    kept.set_title(f"Right answers about retain authors at {at[-1]:.0f} %, bare = 1")
    for axis in (leak, kept):
        axis.set_ylim(-0.05, 1.12)
        axis.grid(axis="y", alpha=0.25)
        axis.legend(frameon=False, fontsize=9, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _sizes(arms: Mapping[str, Any], kinds: Iterable[str]) -> list[int]:
    return [int(arms["eco-noise"]["utility"][kind]["n"]) for kind in kinds]


def languages(found: Mapping[str, Any], path: Path) -> None:
    """Leak without and with Lethe, recall and false positives, one row per language or script."""
    rows = list(reversed(found["rows"]))
    labels = [_called(row) for row in rows]
    figure, axes = plt.subplots(1, 3, figsize=(11, 6.5), layout="constrained", sharey=True)
    places = np.arange(len(rows))
    for axis, title in zip(
        axes, ("Leak about forgotten authors", "Recognised by the guard", "Flagged by mistake"), strict=True
    ):
        axis.set_title(title)
        axis.set_xlim(-0.02, 1.02)
        axis.grid(axis="x", alpha=0.25)
    axes[0].set_yticks(places, labels)
    axes[0].barh(places + 0.2, [row["ceiling"] for row in rows], 0.36, color=RED, label="no protection")
    axes[0].barh(places - 0.2, [row["leak"] for row in rows], 0.36, color=BLUE, label="Lethe")
    axes[0].plot([row["gold"] for row in rows], places, "|", ms=10, color="black", label="never knew")
    axes[1].barh(places, [row["recall"]["share"] for row in rows], 0.6, color=BLUE)
    axes[2].barh(places + 0.2, [row["flagged_retain"]["share"] for row in rows], 0.36, color=GREY, label="authors kept")
    axes[2].barh(places - 0.2, [row["flagged_never"]["share"] for row in rows], 0.36, color=GREEN, label="strangers")
    for axis in (axes[0], axes[2]):
        axis.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _called(row: Mapping[str, Any]) -> str:
    if row["script"] == "Latin":
        return str(row["language"])
    return f"{row['language']}, names too" if row["script"] == "own" else f"en, name in {row['script']}"
