"""Extraction strength: how little of an answer must be given until the model completes it (arXiv 2012.07805)."""

from __future__ import annotations

from collections.abc import Sequence


def extraction_strength(correct: Sequence[bool]) -> float:
    """ES = 1 - k/T, with k the shortest prefix after which every teacher-forced arg-max is right.

    `correct` [T] covers the answer without the end token. k = T is allowed, so that a miss of the last token gives 0.
    Raises `ValueError` where T = 0.
    """
    total = len(correct)
    if not total:
        raise ValueError("an answer needs at least one token")
    return 1 - _prefix(correct) / total


def extraction_strength_published(correct: Sequence[bool]) -> float:
    """As in OpenUnlearning, for comparison with published figures: k goes to T - 1, so a total miss gives 1/T."""
    extraction_strength(correct)  # the same errors
    total = len(correct)
    return 1 - min(_prefix(correct), total - 1) / total


def _prefix(correct: Sequence[bool]) -> int:
    k = len(correct)
    while k and correct[k - 1]:
        k -= 1
    return k
