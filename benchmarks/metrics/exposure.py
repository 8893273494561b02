"""Where an answer tells a value: the leak predicate over all texts and log-probabilities of a response."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.metrics.beam import beams, within
from benchmarks.metrics.leak import found, told
from benchmarks.metrics.surfaces import header_surfaces, surfaces


@dataclass(frozen=True, slots=True)
class Exposure:
    """One value told by one text: `choice` and `kind` as in `Surface`, `reading` as in `Found` (`beam` for top-k)."""

    choice: int | None
    kind: str
    value: str
    reading: str


def exposures(
    response: Mapping[str, Any],
    values: Iterable[str],
    question: str = "",
    headers: Mapping[str, str] | None = None,
    k: int | None = None,
) -> tuple[Exposure, ...]:
    """All exposures of the values in a response body (a stream put together by `assembled`) and its headers.

    Values that the question holds do not count. `k` as in `beams`.
    """
    asked = [v for v in values if told(question, v) is None]
    out = [
        Exposure(s.choice, s.kind, hit.value, hit.reading)
        for s in (*surfaces(response), *header_surfaces(headers or {}))
        for hit in found(s.text, asked)
    ]
    for choice, kind, steps in beams(response, k):
        out += [Exposure(choice, kind, value, "beam") for value in asked if within(steps, value)]
    return tuple(out)
