"""What the names and the linear models of all policies say about one reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import ThreadpoolController

from guards.aliases import AliasIndex, Kind, Name
from guards.attributes import Attributes, raised
from guards.encoder import Floats
from guards.normalize import Bools
from guards.part import FittedPart
from guards.reading import Reading
from guards.titles import as_title, is_title
from guards.verdict import Span

Spans = Callable[[int, int, int], Iterable[Span]]
"""Number of a text, start, end -> the characters of the request behind it."""
_ONE_THREAD = 1 << 17
"""Multiplications of a product that no BLAS spreads over threads; to say so would cost more than the product."""
SHORT, LONG = 6, 512
"""In tokens: a text from SHORT to LONG counts as one calibration text, others in proportion."""


def text_size(tokens: int) -> float:
    """How many calibration texts a text of so many tokens counts for."""
    return min(1.0, tokens / SHORT) if tokens <= LONG else tokens / LONG


@dataclass(frozen=True, slots=True)
class Found:
    """A name found at the characters `[start, end)` of the original text; `sentence` is what holds it."""

    kind: Kind
    number: int
    start: int
    end: int
    sentence: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one text.

    Attributes:
        best: score of the worst window per policy, `[policies]`, name evidence not yet added; of a window it is the
            larger one of those by the linear model and by attributes.
        found: policy -> names found.
        hits: policy -> windows `(score, start, end)` that may become a verdict.
        truncated: the text was too long to be read in full.
        size: how many calibration texts this one counts for, see `guards.calibrate`.
    """

    best: Floats
    found: dict[int, list[Found]] = field(default_factory=dict)
    hits: dict[int, list[tuple[float, int, int]]] = field(default_factory=dict)
    truncated: bool = False
    size: float = 0.0

    @property
    def items(self) -> int:
        """Names and windows."""
        return sum(map(len, self.found.values())) + sum(map(len, self.hits.values()))

    @property
    def bytes(self) -> int:
        """Of the scores."""
        return self.best.nbytes


class Models:
    """Names and linear models of all policies, stacked. `parts` are in the order of the policies."""

    def __init__(self, parts: Sequence[FittedPart], index: AliasIndex, dim: int) -> None:
        self.index = index
        self._blas = ThreadpoolController().select(user_api="blas")
        self.weights = np.stack([p.weights for p in parts], axis=1) if parts else np.zeros((dim, 0), np.float32)
        self.bias = np.array([p.bias for p in parts], np.float32)
        self.boost = np.array([p.boost for p in parts], np.float32)
        self.threshold = np.array([p.threshold for p in parts], np.float32)
        self.facts = [p.granularity == "facts" for p in parts]
        self.together = [frozenset(p.together) for p in parts]
        self.attributes = Attributes([p.attributes for p in parts])

    def scores(self, vectors: Floats, policies: slice = slice(None)) -> Floats:
        """Scores `[windows, policies]`, name evidence not added.

        On one thread: threads of the BLAS cost milliseconds when the cores are busy.
        """
        weights = self.weights[:, policies]
        if vectors.size * weights.shape[1] <= _ONE_THREAD:
            return np.asarray(vectors @ weights + self.bias[policies], np.float32)
        with self._blas.limit(limits=1):
            return np.asarray(vectors @ weights + self.bias[policies], np.float32)

    def weigh(self, reading: Reading, floors: Floats, rows: Bools | None = None) -> Evidence:
        """Weigh one reading, or those of its windows that `rows` says.

        Windows with a score of at least `floors` (per policy) are kept in `hits`.
        """
        chosen = np.arange(len(reading.vectors)) if rows is None else np.flatnonzero(rows)
        scores = self.scores(reading.vectors[chosen])
        described = self.attributes.find(reading, chosen)
        best = scores.max(0, initial=-np.inf)
        hits = described.hits(floors)
        likely = np.flatnonzero(best >= floors)
        if len(likely):
            column, row = np.nonzero((scores[:, likely] >= floors[likely]).T)
            policies, at = likely[column], chosen[row]
            found = (policies, scores[row, policies], reading.starts[at], reading.ends[at])
            for policy, *hit in zip(*(values.tolist() for values in found), strict=True):
                hits.setdefault(policy, []).append(tuple(hit))
        return Evidence(
            raised(best, described.best()), self.names(reading), hits, reading.truncated, text_size(reading.tokens)
        )

    def names(self, reading: Reading) -> dict[int, list[Found]]:
        """Names of all policies in a reading."""
        found: dict[int, set[tuple[Kind, int, int, int]]] = {}
        for view in reading.views:
            for match in self.index.find(view.view, view.words, loose=view.loose):
                a, b = view.starts[match.start], view.starts[match.end - 1]
                c, d = view.ends[match.start], view.ends[match.end - 1]
                name, kind = match.name, match.name.kind
                if kind == "title":
                    shown = view.text is None or as_title(view.text, view.view, match.start, match.end)
                    kind = "alias" if shown else "related"
                found.setdefault(name.policy, set()).add((kind, name.number, int(min(a, b)), int(max(c, d))))
        for heard in reading.heard:
            for match in self.index.hear(heard.foreign):
                name, kind = match.name, "alias" if match.name.kind == "title" else match.name.kind
                found.setdefault(name.policy, set()).add((kind, name.number, *heard.place(match.start, match.end)))
        return {
            policy: [Found(k, n, a, b, _sentence(reading, a, b)) for k, n, a, b in sorted(names)]
            for policy, names in found.items()
        }

    def deciding(
        self, policy: int, found: Iterable[tuple[int, Found]], spans: Spans | None = None
    ) -> set[tuple[int, Found]]:
        """Names that are a verdict by themselves, among `(part, name)` of one request.

        entity: every alias, and every title that is written as one; every two different related names at different
        places, unless the policy's harmless texts hold them together. facts: none, names are evidence only. `spans`
        says which characters of a request a name stands for, where one text may be read twice.
        """
        spans = spans or _own
        if self.facts[policy]:
            return set()
        names = list(found)
        decisive = {item for item in names if item[1].kind == "alias"}
        if decisive:
            return decisive
        places: dict[int, list[int]] = {}
        for at, (_, name) in enumerate(names):
            places.setdefault(name.number, []).append(at)
        spelled = [list(spans(number, name.start, name.end)) for number, name in names]
        sure = [False] * len(names)
        numbers = sorted(places)
        harmless = self.together[policy]
        for i, one in enumerate(numbers):
            for other in numbers[i + 1 :]:
                if (one, other) not in harmless:
                    for a in places[one][:8]:
                        for b in places[other][:8]:
                            if not (sure[a] and sure[b]) and not _overlap(spelled[a], spelled[b]):
                                sure[a] = sure[b] = True
        return {item for item, yes in zip(names, sure, strict=True) if yes}


def _own(number: int, start: int, end: int) -> list[Span]:
    return [Span(number, start, end)]


def _overlap(one: Sequence[Span], other: Sequence[Span]) -> bool:
    return any(a.part == b.part and a.start < b.end and b.start < a.end for a in one for b in other)


def _sentence(reading: Reading, start: int, end: int) -> tuple[int, int]:
    ends = reading.sentences
    low = int(np.searchsorted(ends, start, "right"))
    high = int(np.searchsorted(ends, end, "left"))
    begin = int(ends[low - 1]) if low else 0
    return min(begin, start), max(int(ends[min(high, len(ends) - 1)]), end)


def indexed(parts: Sequence[FittedPart]) -> list[Name]:
    """Names of all parts, in the form that `AliasIndex` takes.

    A title that is not written as one, or that harmless texts hold (it is paired with itself in `together`), is a
    related name.
    """
    found = []
    for policy, part in enumerate(parts):
        common = {a for a, b in part.together if a == b}
        for name in part.names:
            kind: Kind = name.kind
            if kind == "title" and (name.number in common or not is_title(name.text)):
                kind = "related"
            found.append(Name(policy, name.entity, kind, name.number, name.text))
    return found
