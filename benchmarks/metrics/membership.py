"""Membership inference: whether what must be forgotten still looks like training data.

All scores are low for what the model knows. The AUC's direction is in its name: `member_auc` is 1 where every forgotten
text looks more like training data than every hold-out text.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from benchmarks.metrics.probability import loss

SHARE = 0.4
"""Lowest tokens that min-k reads, as in the TOFU and MUSE settings of OpenUnlearning."""


def zlib_score(logprobs: ArrayLike, text: str) -> float:
    """Loss per byte of the compressed text (arXiv 2012.07805); `text` is what the log-probabilities [T] belong to."""
    return loss(logprobs) / len(zlib.compress(text.encode()))


def min_k(logprobs: ArrayLike, share: float = SHARE) -> float:
    """Mean loss of the share of tokens with the lowest log-probability, at least one (arXiv 2310.16789)."""
    loss(logprobs)  # the same errors
    return _lowest(np.asarray(logprobs, np.float64), share)


def min_k_plus_plus(logprobs: ArrayLike, means: ArrayLike, variances: ArrayLike, share: float = SHARE) -> float:
    """Min-k over (log p - mean) / sd of the next-token distribution (arXiv 2404.02936); all arguments [T].

    `means` is E_p[log p] and `variances` Var_p[log p] over the vocabulary at every step; variances are clamped at 1e-6.
    """
    loss(logprobs)  # the same errors
    values, centre = np.asarray(logprobs, np.float64), np.asarray(means, np.float64)
    spread = np.asarray(variances, np.float64)
    if not values.shape == centre.shape == spread.shape:
        raise ValueError(f"shapes differ: {values.shape}, {centre.shape}, {spread.shape}")
    return _lowest((values - centre) / np.sqrt(np.maximum(spread, 1e-6)), share)


def member_auc(forget: ArrayLike, holdout: ArrayLike) -> float:
    """Chance that a hold-out text scores higher than a forgotten one, ties count half. 1: forgotten ones look known.

    `holdout` are texts of the same kind that no model has seen. 0.5 is the level of a model that never knew.
    """
    members, others = np.asarray(forget, np.float64), np.asarray(holdout, np.float64)
    for name, values in (("forget", members), ("holdout", others)):
        if values.ndim != 1 or not values.size or np.isnan(values).any():
            raise ValueError(f"{name} must be a list of numbers and not empty, got shape {values.shape}")
    ranks = rankdata(np.concatenate([others, members]))[: len(others)]
    return float((ranks.sum() - len(others) * (len(others) + 1) / 2) / (len(others) * len(members)))


def priv_leak(auc: float, auc_gold: float = 0.5) -> float:
    """PrivLeak in percent from two `member_auc`: 0 is good, negative under-unlearned, positive over-unlearned.

    ((1 - auc) - (1 - auc_gold)) / (1 - auc_gold) * 100; MUSE writes it with the AUC of non-members (arXiv 2407.06460).
    """
    if not 0 <= auc <= 1 or not 0 <= auc_gold < 1:
        raise ValueError(f"AUCs must be in [0, 1] and the gold model's below 1, got {auc} and {auc_gold}")
    return (auc_gold - auc) / (1 - auc_gold) * 100


def _lowest(values: np.ndarray, share: float) -> float:
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share}")
    return float(-np.sort(values)[: max(1, int(len(values) * share))].mean())
