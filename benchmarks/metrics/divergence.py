"""Symmetric KL divergence of two answer distributions, estimated from samples of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Answers = Sequence[ArrayLike]
"""Per sampled answer, log-probabilities [T] of its tokens, the end token included."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Nats. Estimates may be slightly negative; compare with the divergence of two gold models (the floor).

    Attributes:
        forward: KL(ours || gold) per answer, over our samples; high where we say what gold would not.
        backward: KL(gold || ours) per answer, over gold's samples; high where we miss what gold says.
        per_answer: half of their sum.
        per_token: the same with each direction divided by the mean length of its samples.
        samples: number of our and of gold's samples.
    """

    forward: float
    backward: float
    per_answer: float
    per_token: float
    samples: tuple[int, int]


def log_ratios(own: Answers, other: Answers) -> NDArray[np.float64]:
    """Per sample of `own`, log p_own - log p_other: [samples], for a bootstrap by author."""
    if len(own) != len(other) or not len(own):
        raise ValueError(f"both models must score the same samples, at least one; got {len(own)} and {len(other)}")
    return np.array([_difference(i, a, b) for i, (a, b) in enumerate(zip(own, other, strict=True))])


def symmetric_kl(ours: Answers, ours_by_gold: Answers, gold: Answers, gold_by_ours: Answers) -> Divergence:
    """1/2 [E_ours(log p_ours - log p_gold) + E_gold(log p_gold - log p_ours)] by Monte Carlo.

    `ours` and `gold` are the samples' scores by the model that made them at temperature 1, `x_by_y` the same samples'
    scores by the other one. Raises `ValueError` where scores do not belong to the same tokens.
    """
    forward, backward = log_ratios(ours, ours_by_gold), log_ratios(gold, gold_by_ours)
    tokens = [np.mean([np.size(answer) for answer in answers]) for answers in (ours, gold)]
    ahead, back = float(forward.mean()), float(backward.mean())
    per_token = float(ahead / tokens[0] + back / tokens[1]) / 2
    return Divergence(ahead, back, (ahead + back) / 2, per_token, (len(forward), len(backward)))


def _difference(number: int, own: ArrayLike, other: ArrayLike) -> float:
    a, b = np.asarray(own, np.float64), np.asarray(other, np.float64)
    if a.shape != b.shape or a.ndim != 1 or not a.size:
        raise ValueError(f"sample {number}: both models must score the same tokens; shapes {a.shape} and {b.shape}")
    return float((a - b).sum())
