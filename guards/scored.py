"""Harmless texts under the models of all policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from guards.encoder import Floats
from guards.evidence import Models
from guards.normalize import Bools, Ints

_ROWS = 8192
"""Windows that are weighed at once."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of texts on a circle.

    Attributes:
        best: of the worst window of each text, name evidence not added, `[texts, policies]`.
        border: of the worst window over the border between a text and the next one; the same shape.
        named: whether a text holds a name of a policy; the same shape.
        decided: whether names alone decide a text, `[texts]`.
    """

    best: Floats
    border: Floats
    named: Bools
    decided: Bools

    def boosted(self, boost: Floats) -> Floats:
        """Scores of the texts with name evidence."""
        return np.asarray(self.best + self.named * boost, np.float32)


def best_scores(models: Models, vectors: np.ndarray[Any, Any], owners: Ints, count: int) -> Floats:
    """Largest score per text, `[count, policies]`; `owners` are the texts of the windows, sorted."""
    best = np.full((count, len(models.bias)), -np.inf, np.float32)
    for low in range(0, len(owners), _ROWS):
        own = owners[low : low + _ROWS]
        scores = models.scores(vectors[low : low + _ROWS].astype(np.float32, copy=False))
        starts = np.flatnonzero(np.diff(own, prepend=-1))
        texts = own[starts]
        best[texts] = np.maximum(best[texts], np.maximum.reduceat(scores, starts, axis=0))
    return best
