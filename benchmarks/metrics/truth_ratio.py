"""Truth ratio: how likely wrong answers are beside the true one (TOFU, arXiv 2401.06121)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

Variant = Literal["geometric", "arithmetic"]
"""Mean over the wrong answers' probabilities: geometric as in the code of TOFU and OpenUnlearning, arithmetic as in the
paper. They give different figures; say which."""


def truth_ratio(true: float, wrong: ArrayLike, variant: Variant) -> float:
    """R = mean P(wrong) / P(true), from length-normalised losses (nats per token).

    `true` is the loss of the paraphrased answer (of the plain one on real authors and world facts). Computed from
    losses without the 1e-10 that OpenUnlearning adds to P(true), so that it holds where P underflows.
    """
    losses = np.asarray(wrong, np.float64)
    if losses.ndim != 1 or not losses.size or not np.isfinite(losses).all() or not np.isfinite(true):
        raise ValueError(
            f"finite losses of one true and at least one wrong answer are needed: {true}, {losses.tolist()}"
        )
    match variant:
        case "geometric":
            exponent = true - losses.mean()
        case "arithmetic":
            exponent = true + logsumexp(-losses) - np.log(losses.size)
        case _:
            raise ValueError(f"unknown variant {variant!r}; known: geometric, arithmetic")
    with np.errstate(over="ignore"):
        return float(np.exp(exponent))


def closer_to_1_better(ratios: ArrayLike) -> float:
    """Aggregate for what must be forgotten: mean of min(R, 1/R); 1 where wrong and true are equally likely."""
    values = _checked(ratios)
    with np.errstate(divide="ignore"):
        return float(np.minimum(values, 1 / values).mean())


def true_better(ratios: ArrayLike) -> float:
    """Aggregate for what must stay known: mean of max(0, 1 - R); 1 where only the true answer is likely."""
    return float(np.maximum(0.0, 1 - _checked(ratios)).mean())


def _checked(ratios: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(ratios, np.float64)
    if not values.size or not (values >= 0).all():
        raise ValueError(f"truth ratios must be numbers of at least 0 and not none of them, got {values.tolist()[:8]}")
    return values
