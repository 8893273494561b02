"""Recall by family with its lower bound, and false positives with their upper one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLOURS = {"A": "#3b6ea5", "B": "#8a6bb1", "C": "#c08a2d", "facts": "#4f8f5b"}
TIERS = {
    "alias": "#3b6ea5",
    "+ classifier": "#8a6bb1",
    "+ attributes": "#c08a2d",
    "+ onnx": "#b5524a",
    "+ output guard": "#4f8f5b",
}
"""What the ablation adds, in order."""
NAMES = {
    "A": "A: name can be read",
    "B": "B: name in another script",
    "C": "C: described only",
    "facts": "facts: private questions",
}


def plot(figures: Mapping[str, Any], target: Path) -> None:
    """Draw one panel of families per group of policies, and one of false positives."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - heavy

    groups = {name: group["families"] for name, group in figures["policies"].items() if group["families"]}
    columns = sorted(groups, key=lambda name: -len(groups[name]))
    first, rest = columns[0], columns[1:]
    false = _false(figures)
    classes = {name: found for name, found in figures["ablation"].items() if name.startswith("class ")}
    heights = [*(len(groups[name]) for name in rest), len(classes), len(false)]
    height = max(len(groups[first]), sum(heights) + 6 * len(heights))
    figure: Any = plt.figure(figsize=(15, 0.2 * height + 1.6), layout="constrained")
    left, right = figure.subfigures(1, 2)
    _recall(left.subplots(), first, groups[first])
    panels = right.subplots(len(heights), 1, squeeze=False, height_ratios=[h + 3 for h in heights])[:, 0]
    for name, axes in zip(rest, panels, strict=False):
        _recall(axes, name, groups[name])
    _ablation(panels[-2], classes)
    _alarms(panels[-1], false)
    handles = [mpl.patches.Patch(color=COLOURS[kind]) for kind in COLOURS]
    figure.legend(handles, [NAMES[kind] for kind in COLOURS], loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _recall(axes: Any, name: str, families: Mapping[str, Any]) -> None:
    order = sorted(families, key=lambda f: (list(COLOURS).index(families[f]["class"]), -families[f]["recall"], f))[::-1]
    for place, family in enumerate(order):
        found = families[family]
        low = found["lo"] if found["lo_by_author"] is None else found["lo_by_author"]
        axes.barh(place, found["recall"], color=COLOURS[found["class"]], height=0.7)
        axes.plot([low, found["recall"]], [place, place], color="black", linewidth=1)
        axes.plot([low], [place], marker="|", color="black", markersize=6)
        axes.text(1.01, place, f"{found['hits']}/{found['n']}", va="center", fontsize=7)
    axes.set_yticks(range(len(order)), [f.replace("_", " ") for f in order], fontsize=7.5)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 0.95], ["0", "25 %", "50 %", "75 %", "95 %"])
    axes.axvline(0.95, color="grey", linewidth=0.7, linestyle=":")
    axes.set_title(f"{name}: recall; line: lower bound (one-sided 95 %)", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _ablation(axes: Any, rows: Mapping[str, Mapping[str, Any]]) -> None:
    names = sorted(rows)[::-1]
    for place, name in enumerate(names):
        before = 0.0
        for tier, colour in TIERS.items():
            share = rows[name][tier]
            if share is not None:
                axes.barh(place, share - before, left=before, color=colour, height=0.7, label=tier if not place else "")
                before = share
        axes.text(before, place, f"  {100 * before:.1f} %", va="center", fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7.5)
    axes.set_xlim(0, 1.12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.legend(fontsize=7, frameon=False, ncols=len(TIERS), loc="upper center", bbox_to_anchor=(0.5, -0.3))
    axes.set_title("recall, tier by tier", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _false(figures: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    rows: dict[str, Mapping[str, Any]] = {"general, all": figures["general"]}
    rows |= {f"general, {name}": found for name, found in figures["general"]["strata"].items()}
    for group, found in figures["policies"].items():
        rows |= {f"{group}: {kind}": value for kind, value in found["fpr"].items() if kind != "general"}
    rows |= {f"general, {name} policies": found for name, found in figures["fleet"].items()}
    return {name: found for name, found in rows.items() if found["n"]}


def _alarms(axes: Any, rows: Mapping[str, Mapping[str, Any]]) -> None:
    names = list(rows)[::-1]
    for place, found in enumerate(rows[name] for name in names):
        share = found["hits"] / found["n"]
        axes.barh(place, share, color="#b5483a", height=0.7)
        axes.plot([share, found["hi"]], [place, place], color="black", linewidth=1)
        axes.text(found["hi"], place, f"  {found['hits']}/{found['n']}", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), names, fontsize=7.5)
    most = max(found["hi"] for found in rows.values())
    axes.set_xlim(0, most * 1.15)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_title("harmless requests that any policy flags; line: upper bound", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
