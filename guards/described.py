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
LONG, SCRAP = 32_768, 192
"""Characters of a request that is read twice for each policy and no more; what is left of it in pieces of at most
SCRAP characters, which another reading might take for a window, then goes with the windows beside it."""


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

    def found(gone: Sequence[Span]) -> tuple[Span, ...]:
        return merged(collect(without(parts, [*names, *gone])).above(policy, limit))

    def words(gone: Sequence[Span], windows: Sequence[Span]) -> list[Span]:
        texts = without(parts, [*names, *gone])
        return [s for w in windows for s in _telling(texts[w.part].text, w, policy, limit, models, reader)]

    first = windows = found(())
    if sum(len(part.text) for part in parts) > LONG:
        told: Sequence[Span] = words((), first) if len(first) <= MOST_WINDOWS else first
        left = found(told)
        return _closed([*told, *left]) if left else merged(told)
    gone: list[Span] = []
    for _ in range(ROUNDS):
        if not windows or len(windows) > MOST_WINDOWS:
            break
        gone += words(gone, windows)
        windows = found(gone)
    if not windows:
        return merged(gone)
    gone += first
    for _ in range(ROUNDS):  # what is left over between windows can be one itself
        windows = found(gone)
        if not windows:
            break
        gone += windows
    return merged(gone)


def _closed(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Merged spans, with what stands between two of them if it is short."""
    return tuple(
        Span(span.part, span.start, span.end - SCRAP)
        for span in merged(Span(span.part, span.start, span.end + SCRAP) for span in spans)
    )


def _telling(text: str, window: Span, policy: int, limit: float, models: Models, reader: Reader) -> list[Span]:
    found = telling(
        text[window.start : window.end],
        reader.encoder,
        reader.normalizer,
        lambda vectors: models.scores(vectors, slice(policy, policy + 1))[:, 0],
        limit,
    )
    return [Span(window.part, window.start + start, window.start + end) for start, end in found]
