"""Frames of a stream that wait for a look at their text, and leave as they came."""

from __future__ import annotations

import unicodedata
from collections import deque
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.leaving import SILENT
from gateway.stream import DONE, data_of

OPAQUE = ("{", "[")
"""How a text begins whose words may be hidden in the escapes of JSON."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        data: the bytes that leave.
        text: what it adds to the content.
        chunk: its event; None for comments and `[DONE]`.
        plain: whether it shows a piece of content and nothing else.
        closing: whether it belongs to the end of the answer.
    """

    data: bytes
    text: str
    chunk: dict[str, Any] | None
    plain: bool
    closing: bool


def frame_of(data: bytes) -> Frame:
    """Read one frame; what is no event in the shape of a chat's chunk is not plain."""
    event = data_of(data)
    if not event:
        return Frame(data, "", None, plain=True, closing=False)
    if event == data_of(DONE[0]):
        return Frame(data, "", None, plain=True, closing=True)
    try:
        chunk = orjson.loads(event)
    except orjson.JSONDecodeError:
        chunk = None
    if not isinstance(chunk, dict):
        return Frame(data, "", None, plain=False, closing=False)
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(delta, dict):
        return Frame(data, "", chunk, plain=choices == [], closing=True)
    text = delta.get("content") or ""
    shown = [
        *(value for key, value in chunk.items() if key not in (*SILENT, "created", "choices", "usage")),
        *(value for key, value in choice.items() if key not in ("index", "delta", "finish_reason", "stop_reason")),
        *(value for key, value in delta.items() if key not in ("role", "content")),
    ]
    plain = isinstance(text, str) and choice.get("index") == 0 and all(value in (None, [], "") for value in shown)
    plain = plain and not isinstance(choice.get("stop_reason"), str)
    return Frame(data, text if plain else "", chunk, plain=plain, closing=choice.get("finish_reason") is not None)


class Holding:
    """Frames in their order.

    Attributes:
        left: frames that have left; `said`: their text.
        text: all text that has come, of `left` and of what is held.
        plain: whether pieces may leave; a text that begins with white space, which templates trim, or looks like JSON
            is held to its end, as is everything from a frame on that is not plain.
    """

    def __init__(self) -> None:
        self.left: list[Frame] = []
        self.said, self.text, self.plain = "", "", True
        self._held: deque[tuple[Frame, int]] = deque()

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        self.text += frame.text
        self.plain = self.plain and frame.plain and not self.text[:1].isspace() and not self.text.startswith(OPAQUE)
        self._held.append((frame, len(self.text)))

    def release(self, safe: int) -> bytes:
        """Let all frames go whose text lies within the first `safe` characters, up to the start of a word."""
        count = 0
        for place, (frame, end) in enumerate(self._held):
            if not self.plain or frame.closing or end > max(safe, len(self.said)):
                break
            if end == len(self.said) or word_begins(self.text, end):
                count = place + 1
        return self._go(count)

    def rest(self) -> bytes:
        """Let everything go."""
        return self._go(len(self._held))

    def drop(self) -> None:
        """Forget what is held; what has left is all that was said."""
        self._held.clear()
        self.text, self.plain = self.said, True

    def whole(self) -> bytes:
        """All frames, those that have left as well."""
        return b"".join(frame.data for frame in (*self.left, *(frame for frame, _ in self._held)))

    def _go(self, count: int) -> bytes:
        going = [self._held.popleft() for _ in range(count)]
        self.left += (frame for frame, _ in going)
        if going:
            self.said = self.text[: going[-1][1]]
        return b"".join(frame.data for frame, _ in going)


def word_begins(text: str, at: int) -> bool:
    """Whether a text can be parted here: the first part ends with ink, and no word of letters or digits is cut.

    A letter of a script without spaces is a word. What comes after the end of the text is not known.
    """
    before, after = text[at - 1 : at], text[at : at + 1]
    if not after or before.isspace():
        return False
    return not (before.isalnum() and after.isalnum()) or unicodedata.east_asian_width(after) in "WF"
