"""Harmless requests, read once: the first stratum of the calibration, and what lint and the output index consult.

Three strata are calibrated by themselves, and the largest cutoff counts (`guards.conformal`): everyday requests, by the
number of texts in a conversation; running text (`guards.corpus_prose`), by its length; and the operator's own traffic,
if given (`guards.samples`). So the rate holds for each kind of traffic by itself: neither do long documents set the
cutoff of short questions alone, nor are they drowned by them. A request that is exchangeable with the texts of any one
stratum is flagged with a probability of at most alpha; of a conversation that mixes two kinds, at most twice; of one
that is like none of them nothing is promised.

The statistic of a text is the largest score that any active policy gives to any of its windows, name evidence included;
a request that a name alone decides counts as infinite. A request of several texts is compared with synthetic
conversations of as many everyday requests, rounded up to a power of two: the runs of neighbours on one fixed random
circle, the borders between them included. Runs overlap, so above one text the rate holds approximately. What names
alone decide is left out there: names are bounded by the intake, and must not raise a cutoff until the classifiers are
off. Above `SIZES[-1]` texts the cutoff stays, so that padding has an end; the rate then grows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from guards.attributes import raised
from guards.benign import Benign, benign
from guards.classifier import stack
from guards.conformal import Tails
from guards.corpus_prose import border
from guards.encoder import Floats
from guards.evidence import Found, Models
from guards.normalize import Bools, Ints
from guards.reading import Reader, Reading
from guards.scored import Scored, best_scores

SIZES = (1, 2, 4, 8, 16, 32)
"""Texts in a synthetic conversation."""
_CIRCLE = 20240607


@dataclass(frozen=True, slots=True)
class Corpus:
    """The harmless texts, read once and shared by all policies and by successive guards.

    Attributes:
        texts, readings: the texts in the order of the circle, requests before documents.
        whole: all readings as one, without vectors.
        vectors, owners: their windows `[windows, dim]` and the text of each.
        borders, before: windows over the border between a text and the next one, and the first text of each.
    """

    texts: tuple[Benign, ...]
    readings: tuple[Reading, ...]
    whole: Reading
    vectors: Floats
    owners: Ints
    borders: Floats
    before: Ints

    @classmethod
    def read(cls, reader: Reader, texts: Sequence[Benign] | None = None) -> Corpus:
        """Read the calibration half of the benign texts, or other texts."""
        circle = list(benign("calibration") if texts is None else texts)
        random.Random(_CIRCLE).shuffle(circle)
        circle.sort(key=lambda item: item.document)
        readings = [reader.read(item.text) for item in circle]
        vectors, owners = stack([r.vectors for r in readings], reader.encoder.dim)
        pairs = zip(circle, [*circle[1:], *circle[:1]], strict=True)
        borders, before = stack([border(reader, a.text, b.text) for a, b in pairs], reader.encoder.dim)
        return cls(tuple(circle), tuple(readings), _whole(circle, readings), vectors, owners, borders, before)

    def scored(self, models: Models) -> Scored:
        """Scores of all texts."""
        found = [models.names(reading) for reading in self.readings]
        named = np.zeros((len(self.texts), len(models.bias)), bool)
        for text, policies in enumerate(found):
            named[text, list(policies)] = True
        decided = np.array([any(_decided(models, names)) for names in found], bool)
        best = best_scores(models, self.vectors, self.owners, len(self.texts))
        described = models.attributes.find(self.whole, np.arange(len(self.owners)))
        most = np.zeros_like(best)
        np.maximum.at(most, (self.owners[described.windows], described.policies), described.scores)
        best = raised(best, most)
        return Scored(best, best_scores(models, self.borders, self.before, len(self.texts)), named, decided)

    def maxima(self, models: Models, scored: Scored, tails: Tails) -> list[Floats]:
        """Statistics of the synthetic conversations under the active policies, one array for each of `SIZES`.

        Left out are requests that may hold a proper name and hold an alias: they are about the subject of a policy.
        """
        decided = scored.decided
        kept, apart = self._members(decided)
        # beside a name, a policy about facts goes by its own threshold, see `guards.beside`
        alone = scored.named & np.array(models.facts, bool) & (scored.best >= models.threshold)
        single = np.where(alone, np.inf, tails.scaled(scored.boosted(models.boost))).max(1, initial=-np.inf)
        single[decided] = np.inf
        over = np.where((apart | np.roll(apart, -1))[:, None], -np.inf, tails.scaled(scored.border))  # no neighbours
        best, boost = tails.scaled(scored.best), models.boost / tails.excess
        runs = _runs(best, np.asarray(over, np.float32), scored.named, ~apart, boost)
        return [np.asarray(single[kept], np.float32), *runs[1:]]

    def largest(self, values: Floats, decided: Bools) -> list[Floats]:
        """Largest of the values of the texts, `[texts]`, in each conversation of `maxima`, in the same order."""
        kept, apart = self._members(decided)
        none = np.zeros((len(values), 1), np.float32)
        runs = _runs(values[:, None], none - np.inf, none > 0, ~apart, np.zeros(1, np.float32))
        return [np.asarray(values[kept], np.float32), *runs[1:]]

    def _members(self, decided: Bools) -> tuple[Bools, Bools]:
        """Texts that are requests by themselves, and texts that stand in no conversation."""
        asked = ~np.array([text.document for text in self.texts], bool)
        return asked & (~decided | ~np.array([text.named for text in self.texts], bool)), decided | ~asked

    def deciding(self, models: Models) -> dict[int, int]:
        """Policies whose names alone decide harmless texts without proper names, with the number of such texts."""
        counts: dict[int, int] = {}
        for text, reading in zip(self.texts, self.readings, strict=True):
            for policy in [] if text.named else _decided(models, models.names(reading)):
                counts[policy] = counts.get(policy, 0) + 1
        return counts


def _whole(texts: Sequence[Benign], readings: Sequence[Reading]) -> Reading:
    """Readings one after the other: what is found in single words is found in all of them at once."""
    shifts = np.cumsum([0, *(len(item.text) for item in texts)])
    placed = list(zip(readings, shifts[:-1].tolist(), strict=True))
    views = tuple(
        replace(view, starts=view.starts + shift, ends=view.ends + shift)
        for reading, shift in placed
        for view in reading.views
    )
    empty = np.zeros(0, np.int64)
    starts = np.concatenate([empty, *(reading.starts + shift for reading, shift in placed)])
    ends = np.concatenate([empty, *(reading.ends + shift for reading, shift in placed)])
    sentences = np.concatenate([empty, *(reading.sentences + shift for reading, shift in placed)])
    nothing = np.zeros((len(starts), 0), np.float32)
    return Reading(views, (), nothing, starts, ends, sentences, truncated=False, tokens=sum(r.tokens for r in readings))


def _decided(models: Models, names: dict[int, list[Found]]) -> list[int]:
    return [p for p, found in names.items() if models.deciding(p, ((0, name) for name in found))]


def _runs(best: Floats, border: Floats, named: Bools, keep: Bools, boost: Floats) -> list[Floats]:
    """Largest score in all runs of each of `SIZES` texts on the circle of those that are kept."""
    best, border, named = best[keep], border[keep], named[keep]
    statistics = [(best + named * boost).max(1, initial=-np.inf)]
    for half in SIZES[:-1]:
        best = np.maximum(best, np.roll(best, -half, 0))
        best = np.maximum(best, np.roll(border, 1 - half, 0))
        named = named | np.roll(named, -half, 0)
        statistics.append((best + named * boost).max(1, initial=-np.inf))
    return statistics
