"""Trace leakage: does the reasoning tell what the answer holds back? Per step, after R-TOFU."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.metrics.leak import leaks

_STEP = re.compile(r"\n+|(?<=[.!?;])\s+(?=[A-Z\"'(*\d-])")


@dataclass(frozen=True, slots=True)
class Trace:
    """Leakage of one reasoning trace.

    Attributes:
        leaking: per step, whether it tells a value.
        share: share of steps that do, 0 for an empty trace.
        first: index of the first one, or None.
        any: whether the trace as a whole tells one, also across steps.
    """

    leaking: tuple[bool, ...]
    share: float
    first: int | None
    any: bool


def steps(trace: str) -> tuple[str, ...]:
    """Lines and sentences of a trace, without empty ones."""
    return tuple(step.strip() for step in _STEP.split(trace) if step.strip())


def trace_leak(trace: str, values: Iterable[str], question: str = "") -> Trace:
    """Apply the leak predicate to every step and to the whole."""
    known = tuple(values)
    leaking = tuple(leaks(step, known, question) for step in steps(trace))
    first = leaking.index(True) if any(leaking) else None
    share = sum(leaking) / len(leaking) if leaking else 0.0
    return Trace(leaking, share, first, leaks(trace, known, question))
