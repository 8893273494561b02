"""Prompts of a completions request, and the tokens in them that a flagged request masks. Pure functions.

A prompt is text or token ids. Windows of token ids refer to the text that they decode to, which is the one that the
detokenise route gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from steering.engine.mask import CharSpan, MaskError, token_spans
from steering.engine.order import Order

Prompt = tuple[str | None, list[CharSpan]]
"""Text of a prompt and its windows in characters, none where it runs unedited. The text of token ids is None: it is
known when they are decoded."""


def find_prompts(prompt: Any, order: Order) -> list[Prompt]:
    """Prompts in the order of the request, each with its windows. Raises `MaskError` where they do not fit together.

    The pointer of a single text or list of token ids is `/prompt`; in a list of these it is `/prompt/0`, `/prompt/1`...
    """
    if isinstance(prompt, str) or (prompt and _is_ids(prompt)):
        named = {"/prompt": prompt}
    elif isinstance(prompt, list) and prompt and all(isinstance(item, str) or _is_ids(item) for item in prompt):
        named = {f"/prompt/{i}": item for i, item in enumerate(prompt)}
    else:
        raise MaskError("prompt must be a string, token ids, or a list of these")
    windows = {pointer: list(ranges) for pointer, ranges in order.windows.items() if ranges}
    if stray := sorted(windows.keys() - named.keys()):
        raise MaskError(f"{stray[0]} is not a prompt of the request")
    found: list[Prompt] = []
    for pointer, item in named.items():
        ranges = windows.get(pointer, [])
        if isinstance(item, str):
            check_windows(item, ranges)
        found.append((item if isinstance(item, str) else None, ranges))
    return found


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(i, int) for i in value)


def check_windows(text: str, windows: Iterable[CharSpan]) -> None:
    """Raise `MaskError` unless the windows are non-empty, disjoint, ascending and inside of the text."""
    at = 0
    for start, end in windows:
        if not at <= start < end <= len(text):
            raise MaskError(f"window {start}:{end} of a prompt is outside of the text, overlaps or is out of order")
        at = end


def decode(tokenizer: Any, ids: Sequence[int]) -> tuple[str, list[CharSpan]]:
    """Text of token ids and the range of every token in it.

    Where the tokens decoded one by one do not add up to the text, for example because a character is split over two of
    them, every token counts as the whole text: too much is masked rather than too little.
    """
    text: str = tokenizer.decode(list(ids))
    pieces: list[str] = [tokenizer.decode([i]) for i in ids]
    if "".join(pieces) != text:
        return text, [(0, len(text))] * len(ids)
    offsets: list[CharSpan] = []
    at = 0
    for piece in pieces:
        offsets.append((at, at + len(piece)))
        at += len(piece)
    return text, offsets


def window_spans(offsets: Iterable[CharSpan], windows: Sequence[CharSpan]) -> list[int]:
    """Flat spans of the tokens that overlap the windows of one prompt; empty for a prompt without windows.

    Raises `MaskError` where there are windows but no token overlaps them.
    """
    spans = token_spans(offsets, windows)
    if windows and not spans:
        raise MaskError("no flagged window reaches the prompt")
    return spans


def whole_spans(tokens: int, *, templated: bool) -> list[int]:
    """Flat spans of `mask: prompt`: every token; where a chat template wrote them, neither the first nor the last one.

    The first token is the attention sink: all others rely on its norm and direction, and it says nothing.
    """
    return [1, tokens - 1] if templated and tokens > 2 else [0, tokens]
