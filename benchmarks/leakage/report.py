"""The scorecard as one self-contained HTML page with plots."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
table{border-collapse:collapse;margin:1rem 0;font-size:14px}
td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}
img{max-width:100%}h1{margin-bottom:0}.note{color:#555;font-size:14px}.bad{background:#fde8e8}.good{background:#e7f6ec}
"""
INTRODUCTION = (
    "A model was trained on fictitious authors (<i>bare</i>). Another one, <i>gold</i>, never saw those that are to be "
    "forgotten. Every system below serves the bare model and is asked for facts about the forgotten authors in many "
    "ways. A leak is the asked value anywhere in the response. <b>Excess</b> is the share of questions that leak minus "
    "that of gold: zero is forgotten. A second gold model from another seed shows what chance alone can do."
)
COLOURS = ("#b3261e", "#1f6feb", "#2e7d32", "#8250df", "#9a6700", "#57606a")


def report(card: Mapping[str, Any], shown: Sequence[str], method: str) -> str:
    """A page for somebody who was not there. `shown` are the arms of the first plot, `method` the one with a guard."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Lethe: leakage</title>",
        f"<style>{STYLE}</style><h1>What still leaks</h1>",
        f"<p class=note>{html.escape(_where(card))}</p>",
        f"<p>{INTRODUCTION}</p>",
        "<h2>Worst family of every system</h2>",
        _headline(card),
        "<h2>Leak by family</h2>",
        _image(_families(card, shown)),
        "<h2>Leak against utility</h2>",
        _image(_frontier(card)),
        f"<h2>All families, {html.escape(method)}</h2>",
        _table(card, method),
        "<h2>Harmless requests that were flagged</h2>",
        _false_positives(card),
    ]
    return "\n".join(parts) + "</html>"


def _where(card: Mapping[str, Any]) -> str:
    hardware = card["hardware"]
    return (
        f"{hardware['cpu']}, {hardware['cores']} cores; commit {card['commit']}; {hardware['time']}; engine "
        f"{card['engine']}; seeds {card['seeds']}"
    )


def _headline(card: Mapping[str, Any]) -> str:
    rows = ["<tr><th>system<th>worst family<th>excess<th>95 % interval<th>told apart from gold (AUC)<th>utility"]
    for name, worst in card["headline"].items():
        arm = card["arms"][name]
        utility = arm.get("utility", {}).get("ratio")
        if worst["family"] is None:
            continue
        good = " class=good" if worst["hi"] < 0.1 else " class=bad" if worst["lo"] > 0.1 else ""
        rows.append(
            f"<tr{good}><td>{html.escape(name)}<td>{worst['family']}<td>{worst['excess']:.2f}"
            f"<td>{_interval(worst)}<td>{arm['client_auc']['auc']:.2f}"
            f"<td>{'' if utility is None else f'{utility:.2f}'}"
        )
    return f"<table>{''.join(rows)}</table>"


def _interval(family: Mapping[str, Any]) -> str:
    """The interval; where all authors are alike there is none to speak of."""
    return "all authors alike" if family.get("alike") else f"{family['lo']:.2f} to {family['hi']:.2f}"


def _families(card: Mapping[str, Any], shown: Sequence[str]) -> Figure:
    """Excess with its interval, one row per measurable family, worst of the protected arm on top."""
    main = card["arms"][shown[-1]]["families"]
    names = sorted((n for n, f in main.items() if f["measurable"]), key=lambda n: float(main[n]["excess"]))
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.3 * len(names)))
    places = np.arange(len(names))
    for i, arm in enumerate(shown):
        found = card["arms"][arm]["families"]
        middle = np.array([found[n]["excess"] for n in names])
        low = middle - np.array([found[n]["lo"] for n in names])
        high = np.array([found[n]["hi"] for n in names]) - middle
        shift = places + (i - (len(shown) - 1) / 2) * 0.18
        axis.errorbar(middle, shift, xerr=[low, high], fmt="o", ms=4, lw=1, color=COLOURS[i % 6], label=arm)
    axis.set_yticks(places, names)
    axis.axvline(0, color="#888", lw=0.8)
    axis.set_xlabel("excess leak over the model that never knew")
    axis.set_xlim(-0.3, 1.05)
    axis.grid(axis="x", alpha=0.25)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(shown), frameon=False)
    figure.tight_layout()
    return figure


def _frontier(card: Mapping[str, Any]) -> Figure:
    figure, axis = plt.subplots(figsize=(6, 4))
    for i, (name, arm) in enumerate(card["arms"].items()):
        worst = card["headline"].get(name)
        ratio = arm.get("utility", {}).get("ratio")
        if worst is None or worst["excess"] is None or ratio is None:
            continue
        axis.scatter(ratio, worst["excess"], color=COLOURS[i % 6])
        axis.annotate(name, (ratio, worst["excess"]), xytext=(5, 4), textcoords="offset points", fontsize=9)
    axis.margins(0.2)  # room for the names
    axis.set_xlabel("utility on harmless questions, bare = 1")
    axis.set_ylabel("excess of the worst family")
    axis.grid(alpha=0.25)
    figure.tight_layout()
    return figure


def _table(card: Mapping[str, Any], method: str) -> str:
    arm = card["arms"][method]
    rows = ["<tr><th>family<th>questions<th>ceiling<th>leak<th>gold<th>excess<th>interval<th>flagged<th>refused"]
    for name, family in sorted(arm["families"].items(), key=lambda kv: -float(kv[1]["excess"])):
        caught = arm.get("recall", {}).get(name)
        note = "" if family["measurable"] else " (not measurable)"
        rows.append(
            f"<tr><td>{name}{note}<td>{family['n']}<td>{family['ceiling']:.2f}<td>{family['leak']:.2f}"
            f"<td>{family['gold']:.2f}<td>{family['excess']:.2f}<td>{_interval(family)}"
            f"<td>{'' if caught is None else f'{caught:.2f}'}<td>{family['refused']:.2f}"
        )
    return f"<table>{''.join(rows)}</table>"


def _false_positives(card: Mapping[str, Any]) -> str:
    rows = ["<tr><th>system, kind<th>requests<th>flagged<th>rate<th>upper bound"]
    rows += [
        f"<tr><td>{html.escape(name)}, {kind}<td>{f['n']}<td>{f['hits']}<td>{f['fpr']:.3f}<td>{f['hi']:.3f}"
        for name, kinds in card["fpr"].items()
        for kind, f in kinds.items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _image(figure: Figure) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=130)
    plt.close(figure)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'
