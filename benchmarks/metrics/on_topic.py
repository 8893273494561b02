"""Whether an answer is about its question: encoder similarity, compared with that to other questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guards.reading import Reader

Floats = NDArray[np.float64]
LEVEL = 0.9
"""An answer is on topic if it is nearer to its own question than to this share of the other questions."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Per answer, and as means.

    Attributes:
        similarity: [answers] cosine of answer and own question; 0 for an empty answer.
        place: [answers] share of the other questions that are less similar to the answer, ties count half; 0.5 is
            chance, and an empty answer gets 0.
        mean_similarity: mean of the first.
        rate: share of answers with `place >= LEVEL`.
    """

    similarity: Floats
    place: Floats
    mean_similarity: float
    rate: float


def vectors(reader: Reader, texts: Sequence[str]) -> Floats:
    """Unit vectors [texts, dim] of texts: mean over the windows of the guards' static encoder; 0 for empty texts."""
    rows = np.zeros((len(texts), reader.encoder.dim))
    for i, text in enumerate(texts):
        windows = reader.read(text).vectors
        if len(windows):
            mean = np.asarray(windows, np.float64).mean(axis=0)
            rows[i] = mean / (np.linalg.norm(mean) or 1.0)
    return rows


def on_topic(questions: Floats, answers: Floats) -> Topic:
    """Compare answer i [n, dim] with question i and with all that differ from it; at least two different questions.

    The rate depends on the pool: many questions about one attribute are hard to tell apart. Use the same questions for
    the systems that are compared, and give the rate of the untouched model beside it.
    """
    if questions.shape != answers.shape or questions.ndim != 2:
        raise ValueError(f"needs one answer per question, got vectors of shapes {questions.shape}, {answers.shape}")
    similarity = answers @ questions.T
    different = questions @ questions.T < 1 - 1e-9
    np.fill_diagonal(different, val=False)
    if not different.any(axis=1).all():
        raise ValueError("at least two different questions are needed to compare with")
    own = np.diagonal(similarity)[:, None]
    below = (similarity < own - 1e-12) + 0.5 * (np.abs(similarity - own) <= 1e-12)
    place = (below * different).sum(axis=1) / different.sum(axis=1)
    place[~answers.any(axis=1)] = 0.0
    near = own[:, 0].copy()
    return Topic(near, place, float(near.mean()), float((place >= LEVEL).mean()))
