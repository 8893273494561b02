"""The words of a flagged request that describe its subject.

To corrupt the names alone would leave a question that can be answered, so everything must go without which, and without
the names, the guard would not flag what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guards.evidence import Models
from guards.nameless import without
from guards.reading import Reader
from guards.request import Request, meets, merged
from guards.telling import telling
from guards.verdict import Span, TextPart

ROUNDS, MOST_WINDOWS = 4, 8
"""Readings of a flagged request, and windows of each, in search of the words that tell. Beyond, whole windows go: the
search costs milliseconds a window, and a client can write thousands."""
LONG, SCRAP = 32_768, 192
"""Characters of a request that is read twice more for all policies together; what is left of it in pieces of at most
SCRAP characters, which another reading might take for a window, then goes with the windows beside it."""

Collect = Callable[[Sequence[TextPart]], Request]


@dataclass(frozen=True, slots=True)
class Flagging:
    """What a policy found in a request.

    Attributes:
        policy: its place.
        names, windows: spans of its names, and merged spans of the windows that it flags.
        limit: score from which on it flags the request.
    """

    policy: int
    names: Sequence[Span]
    windows: Sequence[Span]
    limit: float


def described(
    parts: Sequence[TextPart], flagging: Sequence[Flagging], collect: Collect, models: Models, reader: Reader
) -> list[tuple[Span, ...]]:
    """For each policy that flags a request, spans of the words that must go besides its names.

    Args:
        parts: the texts of the request.
        flagging: the policies.
        collect: reads and weighs texts.
        models, reader: those that `collect` uses.
    """
    if flagging and sum(len(part.text) for part in parts) > LONG:
        return _together(parts, flagging, collect, models, reader)
    return [_thoroughly(parts, each, collect, models, reader) for each in flagging]


def _together(
    parts: Sequence[TextPart], flagging: Sequence[Flagging], collect: Collect, models: Models, reader: Reader
) -> list[tuple[Span, ...]]:
    """For a long request: the spans of all policies are taken out together.

    Not all of them may be masked, because some policies only watch. What others took out of a policy's windows
    therefore goes with that policy as well.
    """
    names = [span for each in flagging for span in each.names]
    texts = without(parts, names)
    read = collect(texts)
    gone: list[Sequence[Span]] = []
    for each in flagging:
        windows = merged(read.above(each.policy, each.limit))
        few = len(windows) <= MOST_WINDOWS
        gone.append(_telling(texts, windows, each, models, reader) if few else windows)
    everything = merged([*names, *(span for spans in gone for span in spans)])
    left = collect(without(parts, everything))
    found = []
    for each, spans in zip(flagging, gone, strict=True):
        windows = merged(left.above(each.policy, each.limit))
        own = [*spans, *(span for span in everything if len(flagging) > 1 and meets(span, each.windows))]
        found.append(_closed([*own, *windows]) if windows else merged(own))
    return found


def _thoroughly(
    parts: Sequence[TextPart], each: Flagging, collect: Collect, models: Models, reader: Reader
) -> tuple[Span, ...]:
    """For a request of ordinary length: until nothing of what is left is a window of the policy."""

    def found(gone: Sequence[Span]) -> tuple[Span, ...]:
        return merged(collect(without(parts, [*each.names, *gone])).above(each.policy, each.limit))

    first = windows = found(())
    gone: list[Span] = []
    for _ in range(ROUNDS):
        if not windows or len(windows) > MOST_WINDOWS:
            break
        gone += _telling(without(parts, [*each.names, *gone]), windows, each, models, reader)
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


def _telling(
    parts: Sequence[TextPart], windows: Sequence[Span], each: Flagging, models: Models, reader: Reader
) -> list[Span]:
    """The words of windows on which a policy's verdict rests."""
    gone = []
    for window in windows:
        found = telling(
            parts[window.part].text[window.start : window.end],
            reader.encoder,
            reader.normalizer,
            lambda vectors: models.scores(vectors, slice(each.policy, each.policy + 1))[:, 0],
            each.limit,
        )
        gone += [Span(window.part, window.start + start, window.start + end) for start, end in found]
    return gone
