"""A policy's own threshold: least scores below which it lets harmless texts like its neighbours pass."""

from __future__ import annotations

import numpy as np

from guards.encoder import Floats
from guards.normalize import Bools
from guards.share import upper

NEIGHBOUR_RATE = {"entity": (0.02, 0.9), "facts": (0.05, 0.5)}
"""Share of neighbours like the held-out ones above the threshold, and the confidence that no more are.

Facts of one person are told apart by a few words, so that more confidence costs a large share of recall.
"""
BENIGN_RATE = 0.005
"""Share of benign texts above the threshold at which recall is reported."""
NO_THRESHOLD = -1e9
"""Threshold of a policy without harmless neighbours: the calibration alone decides."""


def own_threshold(near: Floats, benign_: Floats, rate: tuple[float, float], *, facts: bool) -> float:
    """The policy's own threshold; of facts, texts about anything else must not reach it beside a name either."""
    return max(bounded(near, rate), quantile(benign_, rate[0]) if facts else NO_THRESHOLD)


def least(named: Bools, threshold: float, cut: float, *, facts: bool) -> Floats:
    """Least score of each text for a verdict: of facts, the policy's own threshold wherever a name stands."""
    return np.where(named & facts, threshold, cut).astype(np.float32)


def quantile(scores: Floats, rate: float) -> float:
    """Least threshold that lets at most this share of scores reach it."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return NO_THRESHOLD
    return float(np.quantile(finite, 1 - rate, method="higher")) + 1e-4


def bounded(scores: Floats, rate: tuple[float, float]) -> float:
    """Least threshold for which the upper Clopper-Pearson bound of the share above it is at most a rate.

    `rate` is the share and the confidence. A quantile of some hundred scores would be right on average only: half of
    all policies would miss their target. Too few scores for any bound: none of them may reach the threshold.
    """
    share, confidence = rate
    ordered = np.sort(scores[np.isfinite(scores)])[::-1]
    if not len(ordered):
        return NO_THRESHOLD
    above = 0
    while above < len(ordered) - 1 and upper(above + 1, len(ordered), confidence) <= share:
        above += 1
    return float(ordered[above]) + 1e-4
