"""Verdicts -> which characters of a request an intervention changes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence

from gateway.conversation import Conversation
from guards.verdict import Span, TextPart, Verdict
from steering.plan import MAX_WINDOWS, Intervention
from steering.spec import Mask

DOSE = 1.0


def on_verdicts(program: str, flagged: Sequence[tuple[Verdict, Mask]], conversation: Conversation) -> Intervention:
    """An intervention on what the verdicts of flagged policies name; `flagged` holds the mask of each policy as well.

    The whole prompt where a span cannot be found in it: the template does not carry a tool definition, a name or a
    call literally.
    """
    mask, spans = _spans(flagged)
    windows = _bounded(_by_pointer(spans, conversation.parts))
    if mask == "prompt" or not windows or any(span.part not in conversation.maskable for span in spans):
        return Intervention(program, DOSE, "prompt", {})
    return Intervention(program, DOSE, mask, windows)


def on_texts(
    program: str, conversation: Conversation, before: Intervention | None, rows: Collection[str] | None
) -> Intervention:
    """An intervention on the content of every text, or of named rows of a batch, besides an earlier one."""
    if before is not None and before.mask == "prompt":
        return Intervention(program, DOSE, "prompt", {})
    chosen = [i for i, part in enumerate(conversation.parts) if rows is None or part.path in rows]
    spans = (Span(i, 0, len(conversation.parts[i].text)) for i in chosen)
    earlier = {pointer: list(ranges) for pointer, ranges in before.windows.items()} if before is not None else {}
    windows = _bounded({**earlier, **_by_pointer(spans, conversation.parts)})
    if not windows or any(i not in conversation.maskable for i in chosen):
        return Intervention(program, DOSE, "prompt", {})
    return Intervention(program, DOSE, "content", windows)


def _spans(flagged: Sequence[tuple[Verdict, Mask]]) -> tuple[Mask, set[Span]]:
    """The spans to corrupt and how they came about.

    Names and the words that describe without naming; the whole of a window that holds neither.
    """
    spans: set[Span] = set()
    mask: Mask = "entities"
    for verdict, wanted in flagged:
        if wanted == "prompt":
            return "prompt", set()
        if wanted == "content":
            mask = "content"
            spans.update(verdict.windows, verdict.described)
            continue
        spans.update(verdict.entities, verdict.described)
        whole = _bare(verdict)
        if whole:
            mask = "content"
            spans.update(whole)
    return mask, spans


def _bare(verdict: Verdict) -> list[Span]:
    """Windows without a name or a word that describes; the spans of a verdict are sorted and disjoint."""
    marked = sorted([*verdict.entities, *verdict.described])
    starts = [(e.part, e.start) for e in marked]
    bare = []
    for window in verdict.windows:
        before = bisect_left(starts, (window.part, window.end)) - 1
        name = marked[before] if before >= 0 else None
        if name is None or name.part != window.part or name.end <= window.start:
            bare.append(window)
    return bare


def _bounded(windows: dict[str, list[tuple[int, int]]]) -> dict[str, list[tuple[int, int]]]:
    """One window per string where the engine would not take as many as there are; none where even these are many."""
    if sum(map(len, windows.values())) <= MAX_WINDOWS:
        return windows
    hulls = {pointer: [(ranges[0][0], ranges[-1][1])] for pointer, ranges in windows.items()}
    return hulls if len(hulls) <= MAX_WINDOWS else {}


def _by_pointer(spans: Iterable[Span], parts: Sequence[TextPart]) -> dict[str, list[tuple[int, int]]]:
    """Spans by JSON pointer: merged, sorted, disjoint, without outer white space, none empty."""
    out: dict[str, list[tuple[int, int]]] = {}
    for span in sorted(spans):
        part = parts[span.part]
        text = part.text[span.start : span.end]
        start = span.start + len(text) - len(text.lstrip())
        end = span.start + len(text.rstrip())
        if start >= end:
            continue
        ranges = out.setdefault(part.path, [])
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((start, end))
    return out
