"""Candidate-rank leak: how far up a channel puts the true answer among candidates (log-probabilities, votes, picks)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Ranking:
    """Mean reciprocal rank and share of items whose truth ranks first. Subtract the gold model's or `chance`."""

    mrr: float
    top_1: float
    n: int


def ranks(scores: Sequence[float], truth: int) -> Ranking:
    """Rank of one item's truth, index `truth`, among the scores of all candidates; high scores rank first.

    Ties are broken at random and the expectation is given, so that a channel that tells nothing is at chance. A
    candidate that the channel does not show scores -inf.
    """
    values = np.asarray(scores, np.float64)
    if len(values) < 2 or not 0 <= truth < len(values) or np.isnan(values).any():
        raise ValueError(f"needs at least two scores and the index of one of them, got {values.tolist()} and {truth}")
    above, tied = int((values > values[truth]).sum()), int((values == values[truth]).sum())
    return Ranking(float(np.mean(1 / np.arange(above + 1, above + tied + 1))), (above == 0) / tied, 1)


def ranking(items: Iterable[tuple[Sequence[float], int]]) -> Ranking:
    """Mean over items of (scores, index of the truth)."""
    each = [ranks(scores, truth) for scores, truth in items]
    if not each:
        raise ValueError("no items to rank")
    return Ranking(float(np.mean([r.mrr for r in each])), float(np.mean([r.top_1 for r in each])), len(each))


def chance(candidates: int) -> Ranking:
    """What a channel that tells nothing gives: MRR H_c / c and top-1 1 / c."""
    return ranks([0.0] * candidates, 0)
