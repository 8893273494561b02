"""Character windows of a request -> token spans of its final prompt. Pure functions.

Every window is bracketed by two characters that occur nowhere in the request, the chat template is rendered once with
them, and they are cut out again. What is left must equal the text that is really tokenised, otherwise the mask is
refused. Nothing is searched for in the rendered text, so content that equals a role name, is trimmed, or is copied by
the template gets the right mask.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PRIVATE_USE = range(0xF0000, 0x10FFFE)
CharSpan = tuple[int, int]


class MaskError(ValueError):
    """A mask that cannot be computed exactly; the request must not be answered."""


class TemplateError(MaskError):
    """The chat template cuts, moves or drops a flagged window: the whole prompt has to be masked instead."""


def pick_marks(body: Any) -> tuple[str, str]:
    """Two private-use characters that occur nowhere in the request body, not even escaped in a string of JSON."""
    text = json.dumps(body, ensure_ascii=False)
    used = set(text)
    free = (chr(c) for c in PRIVATE_USE if chr(c) not in used)
    first, second = next(free, None), next(free, None)
    if first is None or second is None:
        raise MaskError("the request uses every private-use character of Unicode")
    return first, second


def mark(body: Mapping[str, Any], windows: Mapping[str, Sequence[CharSpan]], marks: tuple[str, str]) -> dict[str, Any]:
    """Copy of the body in which every window is bracketed. Raises `MaskError` for a pointer or range that is not there.

    `windows`: JSON pointer -> sorted, disjoint, non-empty ranges `[start, end)` in characters of that string.
    """
    out: dict[str, Any] = copy.deepcopy(dict(body))
    for pointer, ranges in windows.items():
        holder, key = _locate(out, pointer)
        text = holder[key]
        if not isinstance(text, str):
            raise MaskError(f"{pointer} is not a string")
        pieces, at = [], 0
        for start, end in ranges:
            if not at <= start < end <= len(text):
                raise MaskError(
                    f"window {start}:{end} of {pointer} is outside of the text, overlaps or is out of order"
                )
            pieces += [text[at:start], marks[0], text[start:end], marks[1]]
            at = end
        holder[key] = "".join([*pieces, text[at:]])
    return out


def _locate(body: dict[str, Any], pointer: str) -> tuple[Any, Any]:
    """Container and key that a JSON pointer (RFC 6901) names."""
    node: Any = body
    holder: Any = None
    key: Any = None
    for raw in pointer.split("/")[1:]:
        token = raw.replace("~1", "/").replace("~0", "~")
        holder, key = node, int(token) if isinstance(node, list) and token.isdigit() else token
        try:
            node = holder[key]
        except (KeyError, IndexError, TypeError):
            raise MaskError(f"{pointer} does not exist in the request") from None
    if holder is None:
        raise MaskError("the empty pointer names no string")
    return holder, key


def unmark(text: str, marks: tuple[str, str]) -> tuple[str, list[CharSpan]]:
    """Text without the brackets, and the ranges they enclosed. Raises `TemplateError` where they do not pair up."""
    pieces: list[str] = []
    spans: list[CharSpan] = []
    position, start, at = 0, -1, 0
    for i, character in enumerate(text):
        if character not in marks:
            continue
        pieces.append(text[at:i])
        position, at = position + i - at, i + 1
        if (character == marks[0]) != (start < 0):
            raise TemplateError("the chat template cuts or reorders a flagged window")
        if start < 0:
            start = position
        else:
            spans.append((start, position))
            start = -1
    if start >= 0:
        raise TemplateError("the chat template cuts a flagged window")
    return "".join([*pieces, text[at:]]), spans


def token_spans(offsets: Iterable[CharSpan], spans: Iterable[CharSpan]) -> list[int]:
    """Flat `[start, end, start, end, ...]` of all tokens that overlap a character span.

    `offsets`: character range of every token, ascending. Overlap, not containment: the token of a name often starts
    with the space before it, and a name that is split unusually is caught whole. Tokens of empty width (special
    tokens) are never taken.
    """
    merged: list[list[int]] = []
    for start, end in sorted(s for s in spans if s[0] < s[1]):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    flat: list[int] = []
    at = 0
    for i, (start, end) in enumerate(offsets):
        if end <= start:
            continue
        while at < len(merged) and merged[at][1] <= start:
            at += 1
        if at == len(merged):
            break
        if merged[at][0] < end:
            if flat and flat[-1] == i:
                flat[-1] = i + 1
            else:
                flat += [i, i + 1]
    return flat


def size(spans: Sequence[int]) -> int:
    """Number of tokens in flat spans."""
    return sum(b - a for a, b in zip(spans[::2], spans[1::2], strict=True))
