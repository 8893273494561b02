"""Split-conformal p-values of a request over all active policies.

The statistic of a benign text is the largest score that any active policy gives to any of its windows, name evidence
included; a text that a name alone decides counts as infinite. A benign request is exchangeable with the n calibration
texts, so the probability that *any* policy gives it a p-value `(1 + #{statistic >= score}) / (n + 1) <= alpha` is at
most alpha. (Vovk et al., Algorithmic Learning in a Random World, 2005; family-wise by the maximum.)

A request of several texts is compared with synthetic conversations of as many calibration texts, rounded up to a power
of two: the runs of neighbours on one fixed random circle of the texts, the borders between them included. Runs overlap,
so above one text the rate holds approximately. What names alone decide is left out there: names are bounded by the
intake, and must not raise a cutoff until the classifiers are off. Above `SIZES[-1]` texts the cutoff stays, so that
padding has an end; the rate then grows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from guards.benign import Benign, benign
from guards.classifier import stack
from guards.encoder import Floats
from guards.evidence import Found, Models
from guards.normalize import Bools, Ints
from guards.reading import Reader, Reading
from guards.turns import joints
from guards.verdict import TextPart

SIZES = (1, 2, 4, 8, 16, 32)
"""Texts in a synthetic conversation."""
_COLUMNS = 128
_CIRCLE = 20240607


@dataclass(frozen=True, slots=True)
class Corpus:
    """The calibration texts, read once and shared by all policies and by successive guards.

    Attributes:
        texts, readings: the texts in the order of the circle.
        vectors, owners: their windows `[windows, dim]` and the text of each.
        borders, before: windows over the border between a text and the next one, and the first text of each.
    """

    texts: tuple[Benign, ...]
    readings: tuple[Reading, ...]
    vectors: Floats
    owners: Ints
    borders: Floats
    before: Ints

    @classmethod
    def read(cls, reader: Reader, texts: Sequence[Benign] | None = None) -> Corpus:
        """Read the calibration half of the benign texts, or other texts."""
        circle = list(benign("calibration") if texts is None else texts)
        random.Random(_CIRCLE).shuffle(circle)
        readings = [reader.read(item.text) for item in circle]
        vectors, owners = stack([r.vectors for r in readings], reader.encoder.dim)
        pairs = zip(circle, [*circle[1:], *circle[:1]], strict=True)
        borders, before = stack([_border(reader, a.text, b.text) for a, b in pairs], reader.encoder.dim)
        return cls(tuple(circle), tuple(readings), vectors, owners, borders, before)

    def maxima(self, models: Models) -> list[Floats]:
        """Statistics of the synthetic conversations under the active policies, one array for each of `SIZES`.

        Left out are texts that may hold a proper name and hold an alias: they are about the subject of a policy.
        """
        found = [models.names(reading) for reading in self.readings]
        decided = np.array([any(self._decided(models, names)) for names in found], bool)
        single = np.full(len(self.texts), -np.inf, np.float32)
        runs = np.full((len(SIZES), len(self.texts) - int(decided.sum())), -np.inf, np.float32)
        for low in range(0, len(models.bias), _COLUMNS):
            chosen = slice(low, min(low + _COLUMNS, len(models.bias)))
            best = _best(models.scores(self.vectors, chosen), self.owners, len(self.texts))
            border = _best(models.scores(self.borders, chosen), self.before, len(self.texts))
            named = _named(found, chosen)
            score = best + named * models.boost[chosen]
            # beside a name, a policy about facts goes by its own threshold, see `guards.guard`
            alone = named & np.array(models.facts[chosen], bool) & (best >= models.threshold[chosen])
            single = np.maximum(single, np.where(alone, np.inf, score).max(1))
            border[decided | np.roll(decided, -1)] = -np.inf  # no neighbours any more
            for size, statistic in enumerate(_runs(best, border, named, ~decided, models.boost[chosen])):
                runs[size] = np.maximum(runs[size], statistic)
        single[decided] = np.inf
        keep = ~decided | ~np.array([text.named for text in self.texts], bool)
        return [np.asarray(single[keep], np.float32), *runs[1:]]

    def deciding(self, models: Models) -> dict[int, int]:
        """Policies whose names alone decide harmless texts without proper names, with the number of such texts."""
        counts: dict[int, int] = {}
        for text, reading in zip(self.texts, self.readings, strict=True):
            for policy in [] if text.named else self._decided(models, models.names(reading)):
                counts[policy] = counts.get(policy, 0) + 1
        return counts

    @staticmethod
    def _decided(models: Models, names: dict[int, list[Found]]) -> list[int]:
        return [p for p, found in names.items() if models.deciding(p, ((0, name) for name in found))]


def _border(reader: Reader, one: str, other: str) -> Floats:
    """Windows over the border between two texts."""
    found = [np.zeros((0, reader.encoder.dim), np.float32)]
    for joint in joints([TextPart("/0", "user", one), TextPart("/1", "user", other)]):
        reading = reader.read(joint.text)
        found.append(reading.vectors[joint.new(reading.starts, reading.ends)])
    return np.concatenate(found)


def _best(scores: Floats, owners: Ints, count: int) -> Floats:
    """Largest score per text, `[texts, policies]`; `owners` are sorted."""
    best = np.full((count, scores.shape[1]), -np.inf, np.float32)
    if len(owners):
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        best[owners[starts]] = np.maximum.reduceat(scores, starts, axis=0)
    return best


def _named(found: Sequence[dict[int, list[Found]]], chosen: slice) -> Bools:
    """Whether a text holds a name of a policy, `[texts, policies]`."""
    named = np.zeros((len(found), chosen.stop - chosen.start), bool)
    for text, policies in enumerate(found):
        for policy in policies:
            if chosen.start <= policy < chosen.stop:
                named[text, policy - chosen.start] = True
    return named


def _runs(best: Floats, border: Floats, named: Bools, keep: Bools, boost: Floats) -> list[Floats]:
    """Largest score in all runs of each of `SIZES` texts on the circle of those that are kept."""
    best, border, named = best[keep], border[keep], named[keep]
    statistics = [(best + named * boost).max(1)]
    for half in SIZES[:-1]:
        best = np.maximum(best, np.roll(best, -half, 0))
        best = np.maximum(best, np.roll(border, 1 - half, 0))
        named = named | np.roll(named, -half, 0)
        statistics.append((best + named * boost).max(1))
    return statistics


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
