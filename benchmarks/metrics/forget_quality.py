"""Forget Quality: whether the truth ratios are distributed as those of the gold model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import ks_2samp

ENOUGH = 200
"""Items below which the test has too little power: with 40 of TOFU even the full model gets p of a few thousandths."""


@dataclass(frozen=True, slots=True)
class ForgetQuality:
    """Two-sided two-sample Kolmogorov-Smirnov test.

    Attributes:
        p: chance of a distance this large if both samples had one distribution; high is good.
        statistic: D, the largest distance of the two distribution functions; the effect size, low is good.
        n, n_gold: items on each side.
        warning: why p must not be read as evidence, or None.
    """

    p: float
    statistic: float
    n: int
    n_gold: int
    warning: str | None


def forget_quality(ratios: ArrayLike, gold: ArrayLike) -> ForgetQuality:
    """Compare the truth ratios of all forget items with the gold model's. R and 1/R give the same result."""
    ours, theirs = np.asarray(ratios, np.float64), np.asarray(gold, np.float64)
    for name, values in (("ratios", ours), ("gold", theirs)):
        if values.ndim != 1 or not values.size or np.isnan(values).any():
            raise ValueError(f"{name} must be a list of numbers and not empty, got shape {values.shape}")
    test = ks_2samp(ours, theirs)
    small = min(len(ours), len(theirs))
    warning = f"{small} items: below {ENOUGH} a high p is no evidence of forgetting" if small < ENOUGH else None
    return ForgetQuality(float(test.pvalue), float(test.statistic), len(ours), len(theirs), warning)
