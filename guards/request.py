"""Evidence of all texts of one request, put together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from guards.evidence import Evidence, Found
from guards.turns import Joint
from guards.verdict import Span


class Request:
    """Collects evidence; positions become spans of the request's parts."""

    def __init__(self, policies: int) -> None:
        self.best = np.full(policies, -np.inf, np.float32)
        self.names: dict[int, list[tuple[int, Found]]] = {}
        self.hits: dict[int, list[tuple[float, tuple[Span, ...]]]] = {}
        self.truncated = False
        self._joints: list[Joint] = []

    def add(self, number: int, evidence: Evidence, *, classify: bool) -> None:
        """Add part `number`; without `classify` its names only."""
        self.truncated |= evidence.truncated
        for policy, found in evidence.found.items():
            self.names.setdefault(policy, []).extend((number, item) for item in found)
        if classify:
            np.maximum(self.best, evidence.best, out=self.best)
            for policy, hits in evidence.hits.items():
                self.hits.setdefault(policy, []).extend((score, (Span(number, a, b),)) for score, a, b in hits)

    def add_joint(self, joint: Joint, evidence: Evidence) -> None:
        """Add a text over several turns. Names inside one turn are known already; those across turns are new."""
        self._joints.append(joint)
        for policy, found in evidence.found.items():
            across = [(-len(self._joints), item) for item in found if len(joint.spans(item.start, item.end)) > 1]
            if across:
                self.names.setdefault(policy, []).extend(across)
        np.maximum(self.best, evidence.best, out=self.best)
        for policy, hits in evidence.hits.items():
            self.hits.setdefault(policy, []).extend((score, tuple(joint.spans(a, b))) for score, a, b in hits)

    def spans(self, number: int, start: int, end: int) -> Iterable[Span]:
        """Spans of the characters `[start, end)` of a part, or of a joint (negative number)."""
        return [Span(number, start, end)] if number >= 0 else self._joints[-number - 1].spans(start, end)


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Sorted spans, overlapping and touching ones joined, empty ones dropped."""
    found: list[Span] = []
    for span in sorted(s for s in spans if s.start < s.end):
        if found and found[-1].part == span.part and span.start <= found[-1].end:
            found[-1] = Span(span.part, found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return tuple(found)
