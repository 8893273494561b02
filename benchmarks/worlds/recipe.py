"""How models are trained: sizes and settings of each tier."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Architecture of a Llama that is trained from scratch; `spread` is the deviation of its initial weights."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    context: int = 1024
    spread: float = 0.02


@dataclass(frozen=True, slots=True)
class Recipe:
    """Optimisation of one model.

    Attributes:
        size: None where a model is fine-tuned, which brings its own.
        epochs: passes over the rows.
        tokens: of one optimiser step, padding included.
        lr, muon: peak rates of AdamW and of Muon, which takes the layers' matrices where its rate is not 0.
        warmup: share of the run in which the rate rises.
        floor: rate at the end, relative to the peak.
        rich_rows: rows in rich forms per retain author and pass, see `rows.py`.
    """

    tier: str
    size: Size | None
    epochs: int
    tokens: int
    lr: float
    muon: float = 0.0
    weight_decay: float = 0.01
    warmup: float = 0.03
    floor: float = 0.02
    rich_rows: int = 8


TIERS = {
    "tiny": Recipe("tiny", Size(128, 4, 2, 384, vocabulary=1536), epochs=22, tokens=1024, lr=3e-3, muon=0.02),
    "small": Recipe("small", Size(64, 2, 2, 192, 1536), epochs=28, tokens=384, lr=6e-3, muon=0.04, rich_rows=1),
    "gpu": Recipe("gpu", Size(768, 12, 12, 2048, vocabulary=1536), epochs=60, tokens=4096, lr=1e-3, muon=0.01),
    "tofu": Recipe("tofu", None, epochs=5, tokens=4096, lr=1e-4),
}
"""`tiny`: CPU, minutes. `small`: for tests, seconds. `gpu`: 86 M parameters, one large GPU, minutes. `tofu`:
fine-tuning of a small instruction model, a GPU for anything but a trial."""
FROM_NOTHING = Recipe("tofu-blank", None, epochs=20, tokens=4096, lr=1e-3, muon=0.01)
"""TOFU on an untrained model: more passes and higher rates than fine-tuning takes. Not tried yet on the whole set."""
