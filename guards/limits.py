"""Least scores for a verdict, and p-values, of requests of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from guards.calibrate import SIZES, Corpus
from guards.conformal import TAIL, TIE, Stratum, Tails
from guards.corpus_prose import LENGTHS, Prose
from guards.encoder import Floats
from guards.evidence import Models
from guards.normalize import Normalizer
from guards.scored import Scored

TAILS = 256
"""Bytes of the texts on which the tails of the policies' scores are estimated."""

Sizes = tuple[float, float, float]
"""What a request counts in each stratum: texts among everyday requests, bytes in running text, one among samples."""


class Harmless(NamedTuple):
    """The harmless texts of both strata with their scores under the models of all policies."""

    corpus: Corpus
    asked: Scored
    prose: Prose | None
    read: Scored | None

    @classmethod
    def of(cls, corpus: Corpus, prose: Prose | None, models: Models, normalizer: Normalizer) -> Harmless:
        """Score them."""
        return cls(corpus, corpus.scored(models), prose, prose.scored(models, normalizer) if prose else None)


class Limits:
    """The strata of a calibration, of which the largest cutoff counts, and the thresholds of the policies."""

    def __init__(self, models: Models, boost: Floats, harmless: Harmless, alpha: float) -> None:
        """`boost` is what a name adds, `[policies]`. Raises `ValueError` for an alpha that cannot be reached."""
        self._threshold = models.threshold
        self._alpha = alpha
        corpus, asked, prose, read = harmless
        if prose is None or read is None:
            self.tails = Tails.of(asked.boosted(boost))
            self.strata = [Stratum(SIZES, corpus.maxima(models, asked, self.tails), alpha)]
            return
        self.tails = Tails.of(prose.statistics(read, boost, TAILS))
        running = [self.tails.scaled(prose.statistics(read, boost, length)) for length in LENGTHS]
        self.strata = [
            Stratum(SIZES, corpus.maxima(models, asked, self.tails), alpha),
            Stratum(LENGTHS, [scaled.max(1, initial=-np.inf) for scaled in running], alpha),
        ]

    def add(self, stratum: Stratum) -> None:
        """Let texts of another kind count as well: requests of an operator's own traffic."""
        self.strata.append(stratum)

    def least(self, sizes: Sizes) -> Floats:
        """Least score of each policy for a verdict: by the stratum with the largest cutoff, or by its own threshold."""
        cutoff = max(stratum.cutoff(size) for stratum, size in zip(self.strata, sizes, strict=False))
        return np.asarray(np.maximum(self.tails.scores(cutoff) + np.float32(TIE), self._threshold), np.float32)

    def lowest(self) -> Floats:
        """Least score of each policy for a verdict on a request of any size."""
        return self.least((0, 0, 0))

    def documents(self) -> Floats:
        """Least score of each policy beside a name in a document: alpha of short harmless texts score as high.

        By the tail of the policy alone, which is where a policy's own threshold, set on questions, would be passed by
        many windows of a document. See `guards.beside`.
        """
        return np.asarray(
            np.maximum(self.tails.scores(max(math.log((1 - TAIL) / self._alpha), 0.0)), self._threshold), np.float32
        )

    def by_chance(self) -> Floats:
        """Least score of each policy beside nothing but related names: one in a hundred short harmless texts scores so.

        A surname stands in many texts about somebody else.
        """
        return np.asarray(np.maximum(self.tails.begin, self._threshold), np.float32)

    def p_values(self, scores: Floats, sizes: Sizes) -> npt.NDArray[np.float64]:
        """p-value of each policy's score: the largest one of all strata."""
        scaled = self.tails.scaled(scores)
        each: Sequence[npt.NDArray[np.float64]] = [
            stratum.p_values(scaled, size) for stratum, size in zip(self.strata, sizes, strict=False)
        ]
        return np.asarray(np.max(each, axis=0), np.float64)
