"""Two pictures: how often the guard flags what, and how the truth ratios of the arms are distributed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LABELS = {
    "recall, full name in the question": "TOFU forget, named",
    "recall, no full name in the question": "TOFU forget, described",
    "retain": "TOFU retain",
    "retain, further authors": "TOFU retain, further authors",
    "real_authors": "real authors",
    "world_facts": "world facts",
}
COLOURS = {"flag": "#b5483a", "keep": "#3b6ea5"}


def plot(folder: Path) -> None:
    """Read `guard.json` and, where they are, the arms' files in `folder`; write `guard.png` and `truth_ratio.png`."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy

    mpl.use("Agg")
    _guard(json.loads((folder / "guard.json").read_text(encoding="utf-8")), folder / "guard.png")
    files = sorted(folder.glob("TOFU_EVAL_*.json"))
    if files:
        _ratios(files, folder / "truth_ratio.png")


def _guard(figures: dict[str, Any], target: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - heavy

    tofu = figures["tofu"]
    rows = [(label, tofu[key], "flag") for key, label in LABELS.items() if key in tofu]
    rows += [(LABELS[key], value, "keep") for key, value in tofu["false_positives"].items()]
    for granularity, found in (figures["knowundo"] or {}).items():
        rows.append((f"KnowUnDo private, {granularity} policy", found["recall"], "flag"))
        rows.append((f"KnowUnDo public, {granularity} policy", found["over_refusal"], "keep"))
    rows.reverse()
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(rows) + 1.1), layout="constrained")
    for place, (_, found, kind) in enumerate(rows):
        low, high = found["ci95"]
        axes.barh(place, found["share"], color=COLOURS[kind], height=0.65)
        axes.plot([low, high], [place, place], color="black", linewidth=1)
        axes.text(high + 0.012, place, f"{found['hits']}/{found['n']}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_xlim(0, 1.13)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("questions that the guard flags; 95 % interval")
    for kind, label in (("flag", "should be flagged"), ("keep", "should pass")):
        axes.barh([-1], [0], color=COLOURS[kind], label=label)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, 1.14 if len(rows) < 9 else 1.1), ncols=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=130)
    plt.close(figure)


def _ratios(files: list[Path], target: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - heavy

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for file in files:
        values = json.loads(file.read_text(encoding="utf-8"))["forget_truth_ratio"]["value_by_index"].values()
        ratios = sorted(value["score"] for value in values)
        name = file.stem.removeprefix("TOFU_EVAL_").replace("_", " ")
        shares = [(i + 1) / len(ratios) for i in range(len(ratios))]
        axes.step(ratios, shares, where="post", label=f"{name} (n = {len(ratios)})", linewidth=1.6)
    axes.set_xscale("log")
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlabel("truth ratio: probability of wrong answers over that of the right one")
    axes.set_ylabel("share of forget questions")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=130)
    plt.close(figure)
