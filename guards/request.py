"""Evidence of all texts of one request, put together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from guards.evidence import Evidence, Found
from guards.normalize import Bools
from guards.turns import Joint
from guards.verdict import Span


class Request:
    """Collects evidence; positions become spans of the request's parts."""

    def __init__(self, policies: int, read_all: Bools) -> None:
        """`read_all` says for which policies the linear models read every text."""
        self.best = np.full(policies, -np.inf, np.float32)
        self.names: dict[int, list[tuple[int, Found]]] = {}
        self.hits: dict[int, list[tuple[float, tuple[Span, ...]]]] = {}
        self.truncated = False
        self.size = 0.0
        self._read_all = read_all
        self._joints: list[Joint] = []

    def add(self, number: int, evidence: Evidence, *, classify: bool) -> None:
        """Add part `number`; without `classify` its names only, save for policies that read all."""
        self.truncated |= evidence.truncated
        for policy, found in evidence.found.items():
            self.names.setdefault(policy, []).extend((number, item) for item in found)
        if classify:
            np.maximum(self.best, evidence.best, out=self.best)
        else:
            np.maximum(self.best, evidence.best, out=self.best, where=self._read_all)
        for policy, hits in evidence.hits.items():
            if classify or self._read_all[policy]:
                self.hits.setdefault(policy, []).extend((score, (Span(number, a, b),)) for score, a, b in hits)

    def add_joint(self, joint: Joint, evidence: Evidence) -> None:
        """Add a joint, weighed without what is known of its parts already; the same holds for names."""
        self.truncated |= evidence.truncated
        if evidence.found:
            self._joints.append(replace(joint, text=""))  # its places are all that is asked for later
        for policy, found in evidence.found.items():
            starts, ends = np.array([f.start for f in found]), np.array([f.end for f in found])
            new = joint.new(starts, ends).tolist()
            across = [(-len(self._joints), item) for item, fresh in zip(found, new, strict=True) if fresh]
            if across:
                self.names.setdefault(policy, []).extend(across)
        np.maximum(self.best, evidence.best, out=self.best)
        for policy, hits in evidence.hits.items():
            self.hits.setdefault(policy, []).extend((score, tuple(joint.spans(a, b))) for score, a, b in hits)

    def copy(self) -> Request:
        """Another one with the same texts, to which more may be added."""
        other = Request(len(self.best), self._read_all)
        other.best = self.best.copy()
        other.names = {policy: list(found) for policy, found in self.names.items()}
        other.hits = {policy: list(hits) for policy, hits in self.hits.items()}
        other.truncated, other.size = self.truncated, self.size
        other._joints = list(self._joints)
        return other

    @property
    def items(self) -> int:
        """Names, windows and the pieces of joints that hold names."""
        held = sum(map(len, self.names.values())) + sum(map(len, self.hits.values()))
        return held + sum(len(joint.pieces) for joint in self._joints)

    def spans(self, number: int, start: int, end: int) -> Iterable[Span]:
        """Spans of the characters `[start, end)` of a part, or of a joint (negative number)."""
        return [Span(number, start, end)] if number >= 0 else self._joints[-number - 1].spans(start, end)

    def above(self, policy: int, limit: float) -> list[Span]:
        """Windows whose score is at least `limit`."""
        return [span for value, spans in self.hits.get(policy, ()) if value >= limit for span in spans]


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Sorted spans, overlapping and touching ones joined, empty ones dropped."""
    found: list[Span] = []
    for span in sorted(s for s in spans if s.start < s.end):
        if found and found[-1].part == span.part and span.start <= found[-1].end:
            found[-1] = Span(span.part, found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return tuple(found)


def meets(span: Span, apart: Sequence[Span]) -> bool:
    """Whether a span overlaps one of those that `merged` gave.

    If any, then the last one that begins before its end. A document may name a subject thousands of times and hold as
    many windows: to look at every pair takes seconds.
    """
    last = bisect_left(apart, Span(span.part, span.end, 0)) - 1
    return last >= 0 and apart[last].part == span.part and span.start < apart[last].end
