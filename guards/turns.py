"""Texts that are read together, because a name or a question may be split over them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from guards.normalize import Bools, Ints
from guards.verdict import Span, TextPart

REACH = 192
"""Characters read on both sides of the border between two long texts; texts up to twice as long are read whole."""
LENGTH = 1024
"""From so many characters on, the next text begins a new joint, so that a longer conversation re-uses the old ones."""
TINY, MANY = 32, 256
"""Of more than MANY texts, those of less than TINY characters are read with their neighbours only."""

_ASIDE = re.compile(r"/messages/\d+/(?!content)")
_PROMPT = "/prompt/"
_ROW = re.compile(rf"{_PROMPT}\d+")
_CONTENT_PART = re.compile(r"(/messages/\d+/content)/")
_SCHEMA = frozenset({"tool_definition", "tool_description"})


@dataclass(frozen=True, slots=True)
class Joint:
    """Neighbouring texts as one.

    Attributes:
        text: their characters.
        pieces: `(start, part, offset, length)`: the characters `[start, start + length)` of `text` are those from
            `offset` on of part number `part`.
        alone: for every piece whether its part is also read by itself, so that only what crosses its border is new.
        glued: there is nothing between the pieces; only names are looked for.
    """

    text: str
    pieces: tuple[tuple[int, int, int, int], ...]
    alone: tuple[bool, ...]
    glued: bool = False

    def spans(self, start: int, end: int) -> list[Span]:
        """Characters `[start, end)` of the joint text as spans of the parts."""
        found = []
        first = max(bisect_right(self.pieces, start, key=lambda piece: piece[0]) - 1, 0)
        for at, part, offset, length in self.pieces[first:]:
            if at >= end:
                break
            low, high = max(start, at), min(end, at + length)
            if low < high:
                found.append(Span(part, offset + low - at, offset + high - at))
        return found

    def new(self, starts: Ints, ends: Ints) -> Bools:
        """Whether the ranges `[start, end)` are read nowhere else: over a border, or in a text not read by itself."""
        begins = np.array([piece[0] for piece in self.pieces])
        low = np.searchsorted(begins, starts, "right") - 1
        high = np.searchsorted(begins, ends - 1, "right") - 1
        return np.asarray((low != high) | ~np.array(self.alone)[low], bool)


@dataclass(slots=True)
class _Running:
    """A joint in the making. It holds no text: that is taken from the parts when it is made."""

    together: Collection[int]
    glue: str
    pieces: list[tuple[int, int, int, int]] = field(default_factory=list)
    length: int = 0
    fresh: int = 0  # pieces that are in no joint yet

    def add(self, part: int, offset: int, length: int, *, fresh: bool = True) -> None:
        self.pieces.append((self.length, part, offset, length))
        self.length += length + len(self.glue)
        self.fresh += fresh

    def joint(self, parts: Sequence[TextPart]) -> Iterator[Joint]:
        """The joint, if there is anything new in it; a single text is one if it is not read by itself."""
        alone = tuple(part not in self.together for _, part, _, _ in self.pieces)
        if self.fresh and (len(self.pieces) > 1 or not all(alone)):
            texts = (parts[part].text[offset : offset + length] for _, part, offset, length in self.pieces)
            yield Joint(self.glue.join(texts), tuple(self.pieces), alone, glued=not self.glue)

    def carried(self) -> _Running:
        """A new one that begins with the last REACH characters of this one, in whole pieces."""
        following = _Running(self.together, self.glue)
        first = next(i for i, p in reversed(list(enumerate(self.pieces))) if i == 0 or self.length - p[0] >= REACH)
        for _, part, offset, length in self.pieces[first:]:
            following.add(part, offset, length, fresh=False)
        return following

    def copy(self) -> _Running:
        return replace(self, pieces=list(self.pieces))


@dataclass(slots=True)
class _Stream:
    """Texts that follow each other, as joints."""

    running: _Running

    @classmethod
    def of(cls, together: Collection[int], glue: str) -> _Stream:
        return cls(_Running(together, glue))

    def add(self, parts: Sequence[TextPart], number: int) -> Iterator[Joint]:
        """Add a text; the joints that are complete with it."""
        text = parts[number].text
        running = self.running
        if len(text) <= 2 * REACH:
            running.add(number, 0, len(text))
            if running.length >= LENGTH:
                yield from running.joint(parts)
                self.running = running.carried()
            return
        running.add(number, 0, max(text.rfind(" ", 0, REACH), 0) or REACH)
        yield from running.joint(parts)
        self.running = _Running(running.together, running.glue)
        begin = _word_border(text, len(text) - REACH)
        self.running.add(number, begin, len(text) - begin)

    def copy(self) -> _Stream:
        return _Stream(self.running.copy())


class Joining:
    """Makes the joints of a request, text by text, so that a longer conversation goes on where a shorter one ended.

    Read together are the user turns, the turns of all roles, the descriptions of tools, and the content parts of one
    message (these also with nothing between them).
    """

    def __init__(self, together: Collection[int] = ()) -> None:
        """`together` is what `unread` says."""
        self._together = together
        self._asked = _Stream.of(together, " ")
        self._said: _Stream | None = None  # as long as users alone said something, it is what was asked
        self._described = _Stream.of(together, " ")
        self._message, self._inside = "", _Stream.of(together, "")

    def add(self, parts: Sequence[TextPart], number: int) -> Iterator[Joint]:
        """Add text `number` of the request; the joints that are complete with it."""
        part = parts[number]
        if not part.text:
            return
        if part.role == "tool_description":
            yield from self._described.add(parts, number)
        if not _is_said(part):
            return
        if part.role != "user" and self._said is None:
            self._said = self._asked.copy()
        if self._said is not None:
            yield from self._said.add(parts, number)
        if part.role == "user":
            yield from self._asked.add(parts, number)
        message = _message(part.path)
        if message != self._message:
            yield from self._inside.running.joint(parts)
            self._message, self._inside = message, _Stream.of(self._together, "")
        if message:
            yield from self._inside.add(parts, number)

    def rest(self, parts: Sequence[TextPart]) -> Iterator[Joint]:
        """The joints that more texts would go on."""
        for stream in (self._asked, self._said, self._described, self._inside):
            if stream is not None:
                yield from stream.running.joint(parts)

    def copy(self) -> Joining:
        """Another one with the same texts."""
        other = Joining(self._together)
        other._asked, other._described = self._asked.copy(), self._described.copy()
        other._said = self._said.copy() if self._said else None
        other._message, other._inside = self._message, self._inside.copy()
        return other

    @property
    def pieces(self) -> int:
        """Texts that it holds places of."""
        streams = (self._asked, self._said, self._described, self._inside)
        return sum(len(stream.running.pieces) for stream in streams if stream)


def rows(parts: Sequence[TextPart]) -> bool:
    """Whether the texts are prompts of a batch, few enough to be read one by one."""
    return 1 < len(parts) <= MANY and all(_ROW.fullmatch(part.path) for part in parts)


def unread(parts: Sequence[TextPart]) -> frozenset[int]:
    """Numbers of the texts that are read in joints only: thousands of tiny ones would cost one reading each."""
    if len(parts) <= MANY:
        return frozenset()
    streams = (_said(parts), _described(parts))
    return frozenset(i for stream in streams for i in stream if len(parts[i].text) < TINY)


def apart(parts: Sequence[TextPart], together: Collection[int] = ()) -> frozenset[int]:
    """Numbers of the texts that are in no joint: rows of a batch are prompts of their own.

    Nothing can be split over two of them, and a harmless one must not answer for its neighbour. Those that are read in
    joints only (`together` is what `unread` says) stay in.
    """
    if not any(part.path.startswith(_PROMPT) for part in parts):
        return frozenset()
    said = _said(parts)
    if not all(_ROW.fullmatch(parts[i].path) for i in said):
        return frozenset()
    return frozenset(i for i in said if i not in together)


def joints(parts: Sequence[TextPart], together: Collection[int] = ()) -> Iterator[Joint]:
    """All joint texts of a request; their length in all is bounded by that of the texts."""
    joining, without = Joining(together), apart(parts, together)
    for number in range(len(parts)):
        if number not in without:
            yield from joining.add(parts, number)
    yield from joining.rest(parts)


def _said(parts: Sequence[TextPart]) -> list[int]:
    return [i for i, p in enumerate(parts) if p.text and _is_said(p)]


def _is_said(part: TextPart) -> bool:
    """Whether texts follow each other in the prompt: contents of messages, no names, numbers of calls or schemata."""
    return part.role not in _SCHEMA and not _ASIDE.match(part.path)


def _described(parts: Sequence[TextPart]) -> list[int]:
    return [i for i, p in enumerate(parts) if p.text and p.role == "tool_description"]


def _message(path: str) -> str:
    """The message of a content part; empty for any other text."""
    found = _CONTENT_PART.match(path)
    return found[1] if found else ""


def _word_border(text: str, at: int) -> int:
    space = text.find(" ", at)
    return at if space < 0 else space + 1
