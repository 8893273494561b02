"""The scorecard as one self-contained HTML page with plots."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from benchmarks.leakage import plots

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
HEAD = (
    "system",
    "worst common family",
    "excess",
    "95 % interval",
    "worst of all asked",
    "excess",
    "style told from gold (AUC)",
    "utility",
)
RATIOS = (
    "How likely wrong answers are beside the right one, question by question. A model that knows stands on the left; "
    "the curve of one that has forgotten lies on gold's. The greatest vertical distance is the KS statistic."
)
COMMON = (
    "The more families a system is asked, the worse its worst one, so systems are compared over those that all were "
    "asked. <i>oracle</i> flags every request, harmless ones too. The AUC is that of a classifier that reads the "
    "answers to plain questions and knows no facts."
)
RANKS = (
    "A channel may rank the truth first without saying it: log-probabilities of the next token, or a choice that the "
    "client forces. Shares of questions where the truth comes first, ties at their expectation. A closed channel "
    "tells as much as chance, which is given in brackets."
)


def report(card: Mapping[str, Any], shown: Sequence[str], method: str) -> str:
    """A page for somebody who was not there. `shown` are the arms of the first plot, `method` the one with a guard."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Lethe: leakage</title>",
        f"<style>{STYLE}</style><h1>What still leaks</h1>",
        f"<p class=note>{html.escape(_where(card))}</p>",
        f"<p>{INTRODUCTION}</p>",
        "<h2>Worst family of every system</h2>",
        f"<p>{COMMON}</p>",
        _headline(card),
        "<h2>Leak by family</h2>",
        _image(plots.families(card, shown)),
        "<h2>Leak against utility</h2>",
        _image(plots.frontier(card)),
        "<h2>Truth ratios</h2>",
        f"<p>{RATIOS}</p>",
        _image(plots.distributions(card, ("bare", method, f"{method} oracle", "gold", "gold-b"))),
        "<h2>Time of one plain question</h2>",
        _image(plots.latency(card)),
        f"<h2>All families, {html.escape(method)}</h2>",
        _table(card, method),
        "<h2>Rank of the true answer among candidates</h2>",
        f"<p>{RANKS}</p>",
        _ranks(card),
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
    rows = [f"<tr>{''.join(f'<th>{name}' for name in HEAD)}"]
    for name, worst in card["headline"].items():
        arm = card["arms"][name]
        utility = arm.get("utility", {}).get("ratio")
        if worst["family"] is None:
            continue
        good = " class=good" if worst["hi"] < 0.1 else " class=bad" if worst["lo"] > 0.1 else ""
        rows.append(
            f"<tr{good}><td>{html.escape(name)}<td>{worst['family']}<td>{worst['excess']:.2f}"
            f"<td>{_interval(worst)}<td>{arm['worst']['family']} (of {len(arm['families'])})"
            f"<td>{arm['worst']['excess']:.2f}<td>{arm['client_auc']['auc']:.2f}"
            f"<td>{'' if utility is None else f'{utility:.2f}'}"
        )
    return f"<table>{''.join(rows)}</table>"


def _interval(family: Mapping[str, Any]) -> str:
    """The interval; where all authors are alike there is none to speak of."""
    return "all authors alike" if family.get("alike") else f"{family['lo']:.2f} to {family['hi']:.2f}"


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


def _ranks(card: Mapping[str, Any]) -> str:
    ranked = {name: arm["candidate_rank"] for name, arm in card["arms"].items() if arm["candidate_rank"]}
    families = list(dict.fromkeys(family for kinds in ranked.values() for family in kinds))
    rows = ["<tr><th>system" + "".join(f"<th>{family}" for family in families)]
    for name, kinds in ranked.items():
        cells = (f"{kinds[f]['top_1']:.2f} ({kinds[f]['chance_top_1']:.2f})" if f in kinds else "" for f in families)
        rows.append(f"<tr><td>{html.escape(name)}{''.join(f'<td>{cell}' for cell in cells)}")
    return f"<table>{''.join(rows)}</table>"


def _false_positives(card: Mapping[str, Any]) -> str:
    rows = ["<tr><th>system, kind<th>requests<th>flagged<th>rate<th>upper bound"]
    rows += [
        f"<tr><td>{html.escape(name)}, {kind}<td>{f['n']}<td>{f['hits']}<td>{f['fpr']:.3f}"
        f"<td>{'' if f['hi'] is None else format(f['hi'], '.3f')}"
        for name, kinds in card["fpr"].items()
        for kind, f in kinds.items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _image(figure: Figure) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=130)
    plt.close(figure)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'
