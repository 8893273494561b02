"""What the names and the linear models of all policies say about one reading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from guards.aliases import AliasIndex, Kind, Name
from guards.encoder import Floats
from guards.part import FittedPart
from guards.reading import Reading


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
        best: score of the worst window per policy, `[policies]`, name evidence not yet added.
        found: policy -> names found.
        hits: policy -> windows `(score, start, end)` that may become a verdict.
        truncated: the text was too long to be read in full.
    """

    best: Floats
    found: dict[int, list[Found]] = field(default_factory=dict)
    hits: dict[int, list[tuple[float, int, int]]] = field(default_factory=dict)
    truncated: bool = False


class Models:
    """Names and linear models of all policies, stacked. `parts` are in the order of the policies."""

    def __init__(self, parts: Sequence[FittedPart], index: AliasIndex, dim: int) -> None:
        self.index = index
        self._blas = ThreadpoolController().select(user_api="blas")
        self.weights = np.stack([p.weights for p in parts], axis=1) if parts else np.zeros((dim, 0), np.float32)
        self.bias = np.array([p.bias for p in parts], np.float32)
        self.boost = np.array([p.boost for p in parts], np.float32)
        self.facts = [p.granularity == "facts" for p in parts]
        self.together = [frozenset(p.together) for p in parts]

    def scores(self, vectors: Floats, policies: slice = slice(None)) -> Floats:
        """Scores `[windows, policies]`, name evidence not added.

        On one thread: the product is small, and threads of the BLAS cost milliseconds when the cores are busy.
        """
        with self._blas.limit(limits=1):
            return np.asarray(vectors @ self.weights[:, policies] + self.bias[policies], np.float32)

    def weigh(self, reading: Reading, floors: Floats | None = None) -> Evidence:
        """Weigh one reading. Windows with a score of at least `floors` (per policy) are kept in `hits`."""
        found = self.names(reading)
        scores = self.scores(reading.vectors)
        best = scores.max(0, initial=-np.inf)
        hits: dict[int, list[tuple[float, int, int]]] = {}
        if floors is not None:
            for policy in np.flatnonzero(best >= floors):
                rows = np.flatnonzero(scores[:, policy] >= floors[policy])
                hits[int(policy)] = [
                    (float(scores[r, policy]), int(reading.starts[r]), int(reading.ends[r])) for r in rows
                ]
        return Evidence(best, found, hits, reading.truncated)

    def names(self, reading: Reading) -> dict[int, list[Found]]:
        """Names of all policies in a reading."""
        found: dict[int, set[tuple[Kind, int, int, int]]] = {}
        for view in reading.views:
            for match in self.index.find(view.view, view.words, loose=view.loose):
                a, b = view.starts[match.start], view.starts[match.end - 1]
                c, d = view.ends[match.start], view.ends[match.end - 1]
                name = match.name
                found.setdefault(name.policy, set()).add((name.kind, name.number, int(min(a, b)), int(max(c, d))))
        return {
            policy: [Found(k, n, a, b, _sentence(reading, a, b)) for k, n, a, b in sorted(names)]
            for policy, names in found.items()
        }

    def deciding(self, policy: int, found: Iterable[tuple[int, Found]]) -> set[tuple[int, Found]]:
        """Names that are a verdict by themselves, among `(part, name)` of one request.

        entity: every alias; every two different related names at different places, unless the policy's harmless texts
        hold them together. facts: none, names are evidence only.
        """
        if self.facts[policy]:
            return set()
        names = list(found)
        decisive = {item for item in names if item[1].kind == "alias"}
        if decisive:
            return decisive
        firsts: dict[int, list[tuple[int, Found]]] = {}
        for item in names:
            firsts.setdefault(item[1].number, []).append(item)
        numbers = sorted(firsts)
        harmless = self.together[policy]
        for i, one in enumerate(numbers):
            for other in numbers[i + 1 :]:
                if (one, other) not in harmless:
                    for a in firsts[one][:8]:
                        for b in firsts[other][:8]:
                            if a[0] != b[0] or a[1].end <= b[1].start or b[1].end <= a[1].start:
                                decisive |= {a, b}
        return decisive


def _sentence(reading: Reading, start: int, end: int) -> tuple[int, int]:
    ends = reading.sentences
    low = int(np.searchsorted(ends, start, "right"))
    high = int(np.searchsorted(ends, end, "left"))
    begin = int(ends[low - 1]) if low else 0
    return min(begin, start), max(int(ends[min(high, len(ends) - 1)]), end)


def indexed(parts: Sequence[FittedPart]) -> list[Name]:
    """Names of all parts, in the form that `AliasIndex` takes."""
    return [
        Name(policy, name.entity, name.kind, name.number, name.text)
        for policy, part in enumerate(parts)
        for name in part.names
    ]
