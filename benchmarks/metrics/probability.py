"""Probability of an answer, normalised for its length (TOFU, arXiv 2401.06121)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def loss(logprobs: ArrayLike) -> float:
    """Length-normalised loss of one answer, nats per token.

    `logprobs` [T] are those of its tokens; TOFU counts the end token in. Raises `ValueError` where T = 0 or a value is
    not a log-probability.
    """
    values = np.asarray(logprobs, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"an answer needs at least one token, got log-probabilities of shape {values.shape}")
    if np.isnan(values).any() or (values > 1e-6).any():
        raise ValueError(f"log-probabilities must be numbers of at most 0, got {values.max()}")
    return float(-values.mean())


def probability(logprobs: ArrayLike) -> float:
    """exp(-l): the geometric mean of the probabilities of an answer's tokens. Arguments as for `loss`."""
    return float(np.exp(-loss(logprobs)))


def among_options(right: float, wrong: ArrayLike) -> float:
    """Share of the right answer in the probability of all options, from their length-normalised losses.

    P / (P + sum of P of the wrong ones): TOFU's Probability on real authors and world facts. Computed from losses so
    that it is right where all probabilities underflow.
    """
    losses = np.concatenate([[right], np.atleast_1d(np.asarray(wrong, np.float64))])
    if len(losses) < 2 or not np.isfinite(losses).all():
        raise ValueError(
            f"one right and at least one wrong answer with finite losses are needed, got {losses.tolist()}"
        )
    weights = np.exp(losses.min() - losses)
    return float(weights[0] / weights.sum())
