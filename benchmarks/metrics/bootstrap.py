"""Excess of a rate over the gold model's, with an interval from resampling whole authors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Excess:
    """Result of `excess`.

    Attributes:
        rate, gold: means over items.
        value: rate - gold.
        lo, hi: two-sided percentile interval of `value` at `level`.
        clusters, n: authors and items; the authors are the sample size that counts.
        degenerate: all authors have the same excess, so the interval is a point and says nothing about other authors
            (0 leaks of 24 authors still allow 12 % of authors to leak at 95 %, by the rule of three).
    """

    rate: float
    gold: float
    value: float
    lo: float
    hi: float
    level: float
    clusters: int
    n: int
    degenerate: bool
    seed: int


def excess(
    rates: ArrayLike,
    gold: ArrayLike,
    authors: Sequence[Hashable],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Excess:
    """Paired bootstrap clustered by author: item i [n] of both models is the same question, about `authors[i]`.

    Rates are any numbers per item: leaked or not, leak@k, reciprocal ranks. Raises `ValueError` for unpaired input or
    fewer than two authors. The same seed gives the same interval.
    """
    ours, theirs = np.asarray(rates, np.float64), np.asarray(gold, np.float64)
    if ours.ndim != 1 or not ours.shape == theirs.shape == (len(authors),):
        raise ValueError(f"needs one rate, gold rate and author per item: {ours.shape}, {theirs.shape}, {len(authors)}")
    if np.isnan(ours).any() or np.isnan(theirs).any():
        raise ValueError("a rate is not a number; leave items out on both sides before")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    number = {author: i for i, author in enumerate(dict.fromkeys(authors))}
    if len(number) < 2:
        raise ValueError("at least two authors are needed to resample authors")
    of = np.array([number[author] for author in authors])
    sums = np.bincount(of, weights=ours - theirs)
    sizes = np.bincount(of).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(resamples, len(sums)))
    values = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    each = sums / sizes
    return Excess(
        float(ours.mean()),
        float(theirs.mean()),
        float((ours - theirs).mean()),
        float(low),
        float(high),
        level,
        len(sums),
        len(ours),
        bool(np.ptp(each) < 1e-12),
        seed,
    )
