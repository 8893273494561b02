"""Exact bounds of a share, from trials taken as independent (Clopper and Pearson, Biometrika 26, 1934)."""

from __future__ import annotations

from scipy.stats import beta

CONFIDENCE = 0.95
"""Of a one-sided bound."""


def lower(hits: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided lower bound of the share behind `hits` of `n`; 0 without hits."""
    return float(beta.ppf(1 - confidence, hits, n - hits + 1)) if hits else 0.0


def upper(hits: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided upper bound of the share behind `hits` of `n`; 1 where all are hits, also without trials."""
    return float(beta.ppf(confidence, hits + 1, n - hits)) if hits < n else 1.0
