"""The grey zone: requests that are nearly flagged get a second look, by a dearer encoder.

A harmless request is in the zone, because of any policy, with a probability of at most GREY. Of harmless requests in
the zone, a share of `alpha * SHARE / GREY` at most gets a second score, from any policy, above the cutoff: conformal
like the first look (`guards.conformal`), among the calibration texts that are in the zone themselves. Both together
flag `alpha * SHARE`; the first look is left the rest of alpha.

Looked at are texts of a request, each as a whole, of up to `whole.LONGEST` characters: those in which the first model
of a policy finds something that alone would put the request into the zone. What is split over several texts or stands
in a longer one gets no second look, and a code is read as it stands. It can only add a verdict, never take one back.
Among running text the rate holds approximately: calibrated on are single paragraphs, where a request may hold several.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guards.conformal import Calibration, Stratum
from guards.corpus_prose import LENGTHS
from guards.encoder import Floats
from guards.limits import Harmless, Limits, Sizes
from guards.normalize import Bools
from guards.request import Request
from guards.scored import Scored
from guards.second import Pairs, SecondModels
from guards.verdict import Span, TextPart
from guards.whole import LONGEST

GREY = 0.05
"""Share of harmless requests that may get a second look, which costs milliseconds."""
SHARE = 0.5
"""Of alpha, for the second look."""
MOST_RATE = 0.5
"""Of harmless requests in the zone, for however large an alpha."""
MOST = 8
"""Texts of a request that are looked at for each policy, the most unusual ones."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the second look saw of a request for one policy: a p-value, the texts it flags, and if that is a verdict."""

    p_value: float
    texts: tuple[Span, ...]
    flagged: bool


@dataclass(frozen=True, slots=True)
class _Level:
    """Requests of one size: where the zone begins, and the second scores in it.

    None where they are too few for alpha: then there is no verdict by a second look.
    """

    begin: float
    inside: Calibration | None


class Grey:
    """The second look of all policies. Thread-safe."""

    def __init__(self, models: SecondModels, limits: Limits, boost: Floats, harmless: Harmless, alpha: float) -> None:
        """`boost` is what a name adds, `[policies]`; `alpha` that of both looks together."""
        self._models, self._limits, self._boost = models, limits, boost
        self._rate = min(alpha * SHARE / GREY, MOST_RATE)
        self._levels = [self._requests(limits.strata[0], harmless)]
        if len(limits.strata) > 1:
            self._levels.append(self._running(limits.strata[1], harmless))

    def add(self, stratum: Stratum, samples: Sequence[tuple[Request, Sequence[TextPart]]]) -> None:
        """Let requests of an operator's own traffic count; `stratum` is the last one of the limits, in their order."""
        (first,) = stratum.maxima
        begin = _zone(first)
        begins = self._limits.tails.scores(begin)
        worst = np.full(len(samples), -np.inf, np.float32)
        for place, (request, parts) in enumerate(samples):
            if first[place] >= begin:
                found = self._unusual(request, parts, range(len(begins)), begins)
                rows = self._rows(parts, found)
                second = [rows[parts[n].text][policy] for policy, numbers in found.items() for n in numbers]
                worst[place] = max(second, default=-np.inf)
        self._levels.append([self._level(first, worst)])

    @property
    def present(self) -> Bools:
        """Which policies get a second look."""
        return self._models.present

    def floors(self) -> Floats:
        """Least score of each policy, name evidence included, from which on a text may be looked at: `[policies]`."""
        least = max(min(level.begin for level in levels) for levels in self._levels)
        return np.where(self._models.present, self._limits.tails.scores(least), np.inf).astype(np.float32)

    def look(
        self, request: Request, parts: Sequence[TextPart], sizes: Sizes, chosen: Iterable[int]
    ) -> Mapping[int, Seen]:
        """What the second look says, by policy, for those of the `chosen` ones whose texts it reads."""
        levels = [
            of[stratum.level(size)] for of, stratum, size in zip(self._levels, self._limits.strata, sizes, strict=False)
        ]
        found = self._unusual(request, parts, chosen, self._limits.tails.scores(max(level.begin for level in levels)))
        rows = self._rows(parts, found)
        return {
            policy: self._seen({n: float(rows[parts[n].text][policy]) for n in numbers}, policy, parts, levels)
            for policy, numbers in found.items()
        }

    def _seen(
        self, second: Mapping[int, float], policy: int, parts: Sequence[TextPart], levels: Sequence[_Level]
    ) -> Seen:
        """`second` are the scores of the texts that were read, by their numbers."""
        threshold = float(self._models.threshold[policy])
        cutoff = max(level.inside.cutoff if level.inside else np.inf for level in levels)
        over = [number for number, score in sorted(second.items()) if score > cutoff and score >= threshold]
        worst = np.array([max(second.values())], np.float32)
        p_value = max(GREY * float(level.inside.p_values(worst)[0]) if level.inside else 1.0 for level in levels)
        return Seen(p_value, tuple(Span(n, 0, len(parts[n].text)) for n in over), bool(over))

    def _unusual(
        self, request: Request, parts: Sequence[TextPart], policies: Iterable[int], begins: Floats
    ) -> dict[int, list[int]]:
        """By policy, numbers of the short texts in which its first model finds a score in the zone, the worst first."""
        found = {}
        for policy in policies:
            hits = request.hits.get(policy) if self._models.present[policy] else None
            if hits:
                named = {number for number, _ in request.names.get(policy, ()) if number >= 0}
                numbers = _short(hits, parts, named, float(self._boost[policy]), float(begins[policy]))
                if numbers:
                    found[policy] = numbers
        return found

    def _rows(self, parts: Sequence[TextPart], found: Mapping[int, Sequence[int]]) -> Mapping[str, Floats]:
        """Second scores `[policies]` by text."""
        texts = sorted({parts[number].text for numbers in found.values() for number in numbers})
        return dict(zip(texts, self._models.scores(texts), strict=True)) if texts else {}

    def _requests(self, stratum: Stratum, harmless: Harmless) -> list[_Level]:
        """The levels of everyday requests, by the number of texts."""
        begins = [_zone(first) for first in stratum.maxima]
        pairs = self._pairs([text.text for text in harmless.corpus.texts], harmless.asked, min(begins))
        levels = []
        for place, (begin, first) in enumerate(zip(begins, stratum.maxima, strict=True)):
            second = harmless.corpus.largest(pairs.worst(begin), harmless.asked.decided)[place]
            levels.append(self._level(first, second))
        return levels

    def _running(self, stratum: Stratum, harmless: Harmless) -> list[_Level]:
        """The levels of running text, by its length."""
        prose, read = harmless.prose, harmless.read
        if prose is None or read is None:
            return []
        begins = [_zone(first) for first in stratum.maxima]
        pairs = self._pairs(prose.texts, read, min(begins))
        none, zero = np.zeros((len(prose.texts), 1), bool), np.zeros(1, np.float32)
        levels = []
        for length, begin, first in zip(LENGTHS, begins, stratum.maxima, strict=True):
            worst = pairs.worst(begin)[:, None]
            alone = Scored(worst, np.full_like(worst, -np.inf), none, read.decided)
            levels.append(self._level(first, prose.statistics(alone, zero, length)[:, 0]))
        return levels

    def _level(self, first: Floats, second: Floats) -> _Level:
        begin = _zone(first)
        inside = second[first >= begin]
        few = (len(inside) + 1) * self._rate < 1 - 1e-9
        return _Level(begin, None if few else Calibration(inside, self._rate))

    def _pairs(self, texts: Sequence[str], scored: Scored, begin: float) -> Pairs:
        """Harmless short texts that may be in the zone, with second scores."""
        short = np.array([len(text) <= LONGEST for text in texts], bool) & ~scored.decided
        scaled = self._limits.tails.scaled(scored.boosted(self._boost))
        return Pairs.read(texts, np.where(short[:, None], scaled, -np.inf), begin, self._models)


def _zone(statistics: Floats) -> float:
    """Where the zone begins: a harmless request's statistic is at least that with a probability of at most GREY."""
    n = len(statistics)
    return float(np.sort(statistics)[n - max(int(GREY * (n + 1)) - 1, 1)])


def _short(
    hits: Iterable[tuple[float, Sequence[Span]]],
    parts: Sequence[TextPart],
    named: Collection[int],
    boost: float,
    least: float,
) -> list[int]:
    """Numbers of the short texts with windows of at least a score, the worst first; a name adds to its own text only.

    Windows over several texts do not count, as they do not in the calibration.
    """
    best: dict[int, float] = {}
    for score, spans in hits:
        if len(spans) == 1:
            number = spans[0].part
            total = score + boost if number in named else score
            if total >= least and len(parts[number].text) <= LONGEST:
                best[number] = max(best.get(number, total), total)
    return sorted(best, key=lambda number: (-best[number], number))[:MOST]
