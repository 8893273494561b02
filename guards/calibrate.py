"""Split-conformal p-values of a request over all active policies.

The statistic of a benign text is the largest score that any active policy gives to any of its windows, name evidence
included; a text that a name alone decides counts as infinite. A benign request is exchangeable with the n calibration
texts, so the probability that *any* policy gives it a p-value `(1 + #{statistic >= score}) / (n + 1) <= alpha` is at
most alpha. (Vovk et al., Algorithmic Learning in a Random World, 2005; family-wise by the maximum.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from guards.benign import Benign, benign
from guards.classifier import stack
from guards.encoder import Floats
from guards.evidence import Models
from guards.normalize import Ints
from guards.reading import Reader, Reading

_COLUMNS = 128


@dataclass(frozen=True, slots=True)
class Corpus:
    """The calibration texts, read once and shared by all policies and by successive guards."""

    texts: tuple[Benign, ...]
    readings: tuple[Reading, ...]
    vectors: Floats
    owners: Ints

    @classmethod
    def read(cls, reader: Reader, texts: list[Benign] | None = None) -> Corpus:
        """Read the calibration half of the benign texts, or other texts."""
        texts = benign("calibration") if texts is None else texts
        readings = [reader.read(item.text) for item in texts]
        vectors, owners = stack([r.vectors for r in readings], reader.encoder.dim)
        return cls(tuple(texts), tuple(readings), vectors, owners)

    def maxima(self, models: Models) -> Floats:
        """Statistic of every calibration text under the active policies.

        Left out are texts that may hold a proper name and hold an alias: they are about the subject of a policy.
        """
        statistic = np.full(len(self.texts), -np.inf, np.float32)
        best = np.full((len(self.texts), _COLUMNS), -np.inf, np.float32)
        found = [models.names(reading) for reading in self.readings]
        for low in range(0, len(models.bias), _COLUMNS):
            high = min(low + _COLUMNS, len(models.bias))
            scores = models.scores(self.vectors, slice(low, high))
            best[:] = -np.inf
            starts = np.flatnonzero(np.diff(self.owners, prepend=-1))
            best[self.owners[starts], : high - low] = np.maximum.reduceat(scores, starts, axis=0)
            for text, policies in enumerate(found):
                for policy in policies:
                    if low <= policy < high:
                        best[text, policy - low] += models.boost[policy]
            statistic = np.maximum(statistic, best[:, : high - low].max(1))
        keep = np.ones(len(self.texts), bool)
        for text, policies in enumerate(found):
            for policy, names in policies.items():
                if models.deciding(policy, ((0, name) for name in names)):
                    statistic[text] = np.inf
                    keep[text] &= not self.texts[text].named
        return np.asarray(statistic[keep], np.float32)


class Calibration:
    """p-values from calibration statistics at the family-wise rate `alpha`."""

    def __init__(self, maxima: Floats, alpha: float) -> None:
        """Raises `ValueError` if `alpha` is not in (0, 1) or cannot be reached with so few texts."""
        self.n = len(maxima)
        self.smallest = 1 / (self.n + 1)
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
        if alpha < self.smallest:
            raise ValueError(
                f"alpha {alpha:g} cannot be reached: with {self.n} calibration texts the smallest p-value is "
                f"{self.smallest:.2g}; use a larger alpha"
            )
        self.alpha = alpha
        self._sorted = np.sort(maxima)
        allowed = int(np.floor(alpha * (self.n + 1) + 1e-9)) - 1
        self.cutoff = float(self._sorted[self.n - 1 - allowed])
        """Scores above this have a p-value of at most alpha."""

    def p_values(self, scores: Floats) -> npt.NDArray[np.float64]:
        """p-value of each score."""
        above = self.n - np.searchsorted(self._sorted, scores, "left")
        return (1.0 + above) / (self.n + 1)
