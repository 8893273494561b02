"""From the scores of harmless texts to cutoffs and p-values.

The statistic of a text is the largest scaled score that any active policy gives to it. A harmless request that is
exchangeable with the n texts of a stratum gets a p-value `(1 + #{statistic >= score}) / (n + 1) <= alpha` from *any*
policy with a probability of at most alpha. (Vovk et al., Algorithmic Learning in a Random World, 2005; family-wise by
the maximum.)

Scores are scaled because policies differ in their tails: with one cutoff for all, the policy with the heaviest tail
sets it, and takes nearly all false positives while the others lose recall. Above a high quantile the excess of a
light-tailed score is nearly exponential (Pickands, Annals of Statistics 3, 1975), so quantile and mean excess make
policies alike. Both are estimated on texts of the second stratum, each of which moves them by a hundredth at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from guards.encoder import Floats

TIE = 1e-3
"""Scores that differ by less are one score: products over other numbers of windows round otherwise, kept vectors are in
half precision, and a sentence that is itself among the calibration texts must not be flagged for that."""
TAIL = 0.99
"""Quantile where the tail of a policy's scores begins."""
_NARROWEST = 0.05
"""Least mean excess, in standard deviations of benign scores: hardly any texts tell little."""


@dataclass(frozen=True, slots=True)
class Tails:
    """Where the tails of the policies' scores begin, and their mean excess; both `[policies]`."""

    begin: Floats
    excess: Floats

    @classmethod
    def of(cls, scores: Floats) -> Tails:
        """From scores of harmless texts, `[texts, policies]`."""
        begin = np.quantile(scores, TAIL, axis=0).astype(np.float32)
        above = np.maximum(scores - begin, 0)
        excess = above.sum(0) / np.maximum((above > 0).sum(0), 1)
        return cls(begin, np.maximum(excess, _NARROWEST).astype(np.float32))

    def scaled(self, scores: Floats) -> Floats:
        """Scores in mean excesses above the beginning of the tail."""
        return np.asarray((scores - self.begin) / self.excess, np.float32)

    def scores(self, scaled: float) -> Floats:
        """The score of every policy that is scaled to a number, `[policies]`."""
        return np.asarray(self.begin + self.excess * np.float32(scaled), np.float32)


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


class Stratum:
    """Harmless texts of one kind: a calibration for each of several sizes, and cutoffs that never fall with size."""

    def __init__(self, sizes: Sequence[float], maxima: Sequence[Floats], alpha: float) -> None:
        """`maxima[i]` are the statistics of texts of `sizes[i]`, ascending. Raises what `Calibration` raises."""
        self.sizes, self.maxima = sizes, maxima
        self.calibrations = [Calibration(statistics, alpha) for statistics in maxima]
        self._cutoffs = np.maximum.accumulate([calibration.cutoff for calibration in self.calibrations])

    def cutoff(self, size: float) -> float:
        """Scaled score above which a request of a size is flagged."""
        return float(self._cutoffs[self.level(size)])

    def p_values(self, scaled: Floats, size: float) -> npt.NDArray[np.float64]:
        """p-values of scaled scores of a request of a size."""
        return self.calibrations[self.level(size)].p_values(scaled)

    def level(self, size: float) -> int:
        """Place of the calibration that a request of a size is compared with."""
        return min(int(np.searchsorted(self.sizes, size)), len(self.sizes) - 1)
