"""Frames of a stream that wait for a look at their text, and leave as they came."""

from __future__ import annotations

import unicodedata
from collections import deque

from gateway.frame import Frame

OPAQUE = ("{", "[")
"""How a text begins whose words may be hidden in the escapes of JSON."""


class Holding:
    """Frames in their order. Of those that have left bytes and text are kept, which the last look is at.

    Attributes:
        plain: whether pieces may leave; a text that begins with white space, which templates trim, or looks like JSON
            is held to its end, as is everything from a frame on that is not plain.
        size: characters of all text that has come.
        first, last: the first and the last frame with a chunk that have left; empty where there is none.
    """

    def __init__(self) -> None:
        self.plain, self.size = True, 0
        self.first = self.last = b""
        self._gone, self._said, self._start = bytearray(), [""], 0
        self._rest = ""
        self._held: deque[tuple[Frame, int]] = deque()

    @property
    def said(self) -> str:
        """Text of the frames that have left."""
        self._said = ["".join(self._said)]
        return self._said[0]

    def since(self, at: int) -> str:
        """The text that has come from a character on, of what has left and of what is held."""
        return self._rest[at - self._start :] if at >= self._start else (self.said + self._rest)[at:]

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        begins = frame.text[:1] if not self.size else ""
        self.plain = self.plain and frame.plain and not begins.isspace() and begins not in OPAQUE
        self._rest += frame.text
        self.size += len(frame.text)
        self._held.append((frame, self.size))

    def release(self, safe: int) -> bytes:
        """Let all frames go whose text lies within the first `safe` characters, up to the start of a word."""
        count = 0
        for place, (frame, end) in enumerate(self._held):
            if not self.plain or frame.closing or end > max(safe, self._start):
                break
            if end == self._start or word_begins(self._rest, end - self._start):
                count = place + 1
        return self._go(count)

    def rest(self) -> bytes:
        """Let everything go."""
        return self._go(len(self._held))

    def drop(self) -> None:
        """Forget what is held; what has left is all that was said."""
        self._held.clear()
        self._rest, self.size, self.plain = "", self._start, True

    def whole(self) -> bytes:
        """All frames, those that have left as well."""
        return b"".join((self._gone, *(frame.data for frame, _ in self._held)))

    def _go(self, count: int) -> bytes:
        going = [self._held.popleft() for _ in range(count)]
        for frame, _ in going:
            if frame.event:
                self.first, self.last = self.first or frame.data, frame.data
        if going:
            size = going[-1][1] - self._start
            self._said.append(self._rest[:size])
            self._rest, self._start = self._rest[size:], self._start + size
        data = b"".join(frame.data for frame, _ in going)
        self._gone += data
        return data


def word_begins(text: str, at: int) -> bool:
    """Whether a text can be parted here: the first part ends with ink, and no word of letters or digits is cut.

    A letter of a script without spaces is a word. What comes after the end of the text is not known.
    """
    before, after = text[at - 1 : at], text[at : at + 1]
    if not after or before.isspace():
        return False
    return not (before.isalnum() and after.isalnum()) or unicodedata.east_asian_width(after) in "WF"
