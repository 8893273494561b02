"""Exact memorisation: how much of an answer the model would have said."""

from __future__ import annotations

from collections.abc import Sequence


def exact_memorisation(correct: Sequence[bool]) -> float:
    """Share of the answer's tokens whose teacher-forced arg-max is right.

    `correct` [T] covers the answer without the end token. Raises `ValueError` where T = 0.
    """
    if not len(correct):
        raise ValueError("an answer needs at least one token")
    return sum(map(bool, correct)) / len(correct)
