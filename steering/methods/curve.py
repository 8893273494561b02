"""Picture of how assistants were trained: a panel per assistant, losses per pass. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

LINES = ("training", "held-out, forgotten", "held-out, others")


def draw(curves: Mapping[str, Sequence[tuple[float, float, float]]], path: Path) -> None:
    """Draw and save as PNG. A line that is 0 throughout is left out: a blank twin sees nothing forgotten."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only for the picture

    figure = Figure(figsize=(6 * len(curves), 4), layout="constrained")
    for panel, (role, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        passes = range(1, len(curve) + 1)
        for name, values in zip(LINES, zip(*curve, strict=True), strict=True):
            if any(values):
                panel.plot(passes, values, marker="o", markersize=3, label=name)
        panel.set(title=f"assistant: {role}", xlabel="pass", ylabel="loss, nats per token", ylim=(0, None))
        panel.legend()
    figure.savefig(path, dpi=120)
