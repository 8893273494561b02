"""Picture of `benchmarks.precision`: what leaks in every precision, with old numbers and new ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SIDES = {"old": ("#c44e52", "numbers of float32"), "new": ("#4c72b0", "searched in this precision")}


def plot(result: dict[str, Any], path: Path) -> None:
    """A panel per method, a pair of bars per precision."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only for the picture

    rows = {name: row for name, row in result["methods"].items() if name != "bare"}
    figure = Figure(figsize=(5.2 * len(rows), 4.2), layout="constrained")
    for panel, (name, row) in zip(
        figure.subplots(1, len(rows), squeeze=False, sharey=True)[0], rows.items(), strict=True
    ):
        for i, (which, (colour, label)) in enumerate(SIDES.items()):
            found = [(at, figures) for at, figures in enumerate(row.values()) if which in figures]
            where = np.array([at + (0.4 * (i - 0.5) if "old" in figures else 0.0) for at, figures in found])
            shares = np.array([figures[which]["leak@16"]["share"] for _, figures in found])
            low, high = np.array([figures[which]["leak@16"]["ci95"] for _, figures in found]).T
            panel.bar(where, 100 * shares, 0.38, label=label, color=colour)
            panel.errorbar(
                where, 100 * shares, 100 * np.array([shares - low, high - shares]), fmt="none", color="black"
            )
        labels = [f"{precision}\ndose {figures.get('dose', figures['strength']):.3g}\nthen {figures['strength']:.3g}"
                  for precision, figures in row.items()]  # fmt: skip
        panel.set_xticks(range(len(row)), labels)
        panel.set_title(name)
        panel.set_ylim(0, 105)
    first = figure.axes[0]
    first.set_ylabel(f"leak@16, % of {result['questions']} caught questions")
    first.legend(loc="upper right")
    figure.savefig(path, dpi=120)
