"""Fluency: is an answer language? Repetition, diversity, and perplexity from the scores of a reference model."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def repetition(text: str, n: int = 4) -> float:
    """Share of the n-grams of words that stood in the text before; 0 for a text of fewer than n words."""
    grams = _grams(text, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct(text: str, n: int = 2) -> float | None:
    """Share of different ones among the n-grams of words (distinct-n, arXiv 1510.03055, per answer).

    None for a text of fewer than n words, which says nothing: leave it out of a mean and count it.
    """
    grams = _grams(text, n)
    return len(set(grams)) / len(grams) if grams else None


def perplexity(logprobs: Sequence[ArrayLike]) -> float:
    """Exp of the loss per token over all answers together; `logprobs` as from `scoring` by the unedited model.

    Long answers weigh more. Low perplexity alone is no praise: a loop is predictable, so read it with `repetition`.
    """
    values = np.concatenate([np.asarray(answer, np.float64) for answer in logprobs]) if logprobs else np.zeros(0)
    if not values.size:
        raise ValueError("perplexity needs at least one token")
    return float(np.exp(-values.mean()))


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return list(zip(*(words[i:] for i in range(n)), strict=False))
