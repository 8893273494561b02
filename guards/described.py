"""The words of a flagged request that describe its subject.

To corrupt the names alone would leave a question that can be answered, so everything must go without which, and without
the names, the guard would not flag what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guards.evidence import Models
from guards.nameless import without
from guards.reading import Reader
from guards.request import Request, merged
from guards.telling import telling
from guards.verdict import Span, TextPart

ROUNDS, MOST_WINDOWS = 4, 8
"""Readings of a flagged request, and windows of each, in search of the words that tell. Beyond, whole windows go: the
search costs milliseconds a window, and a client can write thousands."""


def described(
    parts: Sequence[TextPart],
    names: Sequence[Span],
    policy: int,
    limit: float,
    collect: Callable[[Sequence[TextPart]], Request],
    models: Models,
    reader: Reader,
) -> tuple[Span, ...]:
    """Spans of the words that must go besides the names of a policy.

    Args:
        parts: the texts of the request.
        names: what was found of the policy's names.
        policy: its place.
        limit: score from which on it flags the request.
        collect: reads and weighs texts.
        models, reader: those that `collect` uses.
    """
    gone: list[Span] = []
    for _ in range(ROUNDS):
        blanked = without(parts, [*names, *gone])
        windows = merged(collect(blanked).above(policy, limit))
        if not windows:
            return merged(gone)
        if len(windows) > MOST_WINDOWS:
            break
        for window in windows:
            gone += _telling(blanked[window.part].text, window, policy, limit, models, reader)
    gone += collect(without(parts, names)).above(policy, limit)
    for _ in range(ROUNDS):  # what is left over between windows can be one itself
        windows = merged(collect(without(parts, [*names, *gone])).above(policy, limit))
        if not windows:
            break
        gone += windows
    return merged(gone)


def _telling(text: str, window: Span, policy: int, limit: float, models: Models, reader: Reader) -> list[Span]:
    found = telling(
        text[window.start : window.end],
        reader.encoder,
        reader.normalizer,
        lambda vectors: models.scores(vectors, slice(policy, policy + 1))[:, 0],
        limit,
    )
    return [Span(window.part, window.start + start, window.start + end) for start, end in found]
