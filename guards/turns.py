"""Texts that are read together, because a name or a question may be split over them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from guards.normalize import Bools, Ints
from guards.verdict import Span, TextPart

REACH = 192
"""Characters read on both sides of the border between two long texts; texts up to twice as long are read whole."""
LENGTH = 2048
"""From so many characters on, the next text begins a new joint, so that a longer conversation re-uses the old ones."""
TINY, MANY = 32, 256
"""Of more than MANY texts, those of less than TINY characters are read with their neighbours only."""

_ASIDE = re.compile(r"/messages/\d+/(?!content)")
_ROW = re.compile(r"/prompt/\d+")
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
    """A joint in the making."""

    together: Collection[int]
    glue: str
    pieces: list[tuple[int, int, int, int]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    length: int = 0
    fresh: int = 0  # pieces that are in no joint yet

    def add(self, part: int, offset: int, text: str, *, fresh: bool = True) -> None:
        self.pieces.append((self.length, part, offset, len(text)))
        self.texts.append(text)
        self.length += len(text) + len(self.glue)
        self.fresh += fresh

    def joint(self) -> Iterator[Joint]:
        """The joint, if there is anything new in it; a single text is one if it is not read by itself."""
        alone = tuple(part not in self.together for _, part, _, _ in self.pieces)
        if self.fresh and (len(self.pieces) > 1 or not all(alone)):
            yield Joint(self.glue.join(self.texts), tuple(self.pieces), alone, glued=not self.glue)

    def carried(self) -> _Running:
        """A new one that begins with the last REACH characters of this one, in whole pieces."""
        following = _Running(self.together, self.glue)
        first = next(i for i, p in reversed(list(enumerate(self.pieces))) if i == 0 or self.length - p[0] >= REACH)
        for (_, part, offset, _), text in zip(self.pieces[first:], self.texts[first:], strict=True):
            following.add(part, offset, text, fresh=False)
        return following


def rows(parts: Sequence[TextPart]) -> bool:
    """Whether the texts are prompts of a batch, few enough to be read one by one."""
    return 1 < len(parts) <= MANY and all(_ROW.fullmatch(part.path) for part in parts)


def unread(parts: Sequence[TextPart]) -> frozenset[int]:
    """Numbers of the texts that are read in joints only: thousands of tiny ones would cost one reading each."""
    if len(parts) <= MANY:
        return frozenset()
    streams = (_said(parts), _described(parts))
    return frozenset(i for stream in streams for i in stream if len(parts[i].text) < TINY)


def joints(parts: Sequence[TextPart], together: Collection[int] = ()) -> Iterator[Joint]:
    """All joint texts of a request; their length in all is bounded by that of the texts.

    Read together are the user turns, the turns of all roles, the descriptions of tools, and the content parts of one
    message (these also with nothing between them). Rows of a batch are prompts of their own: nothing can be split over
    two of them, and a harmless one must not answer for its neighbour. `together` is what `unread` says.
    """
    said = _said(parts)
    if all(_ROW.fullmatch(parts[i].path) for i in said):
        said = [i for i in said if i in together]
    asked = [i for i in said if parts[i].role == "user"]
    for stream in (asked, said if said != asked else [], _described(parts)):
        yield from _stream(parts, stream, together, " ")
    for message, group in groupby(said, key=lambda i: _message(parts[i].path)):
        if message:
            yield from _stream(parts, group, together, "")


def _stream(parts: Sequence[TextPart], numbers: Iterable[int], together: Collection[int], glue: str) -> Iterator[Joint]:
    running = _Running(together, glue)
    for number in numbers:
        text = parts[number].text
        if len(text) <= 2 * REACH:
            running.add(number, 0, text)
            if running.length >= LENGTH:
                yield from running.joint()
                running = running.carried()
            continue
        running.add(number, 0, text[: max(text.rfind(" ", 0, REACH), 0) or REACH])
        yield from running.joint()
        running = _Running(together, glue)
        begin = _word_border(text, len(text) - REACH)
        running.add(number, begin, text[begin:])
    yield from running.joint()


def _said(parts: Sequence[TextPart]) -> list[int]:
    """Texts that follow each other in the prompt: contents of messages, no names, numbers of calls or schemata."""
    return [i for i, p in enumerate(parts) if p.text and p.role not in _SCHEMA and not _ASIDE.match(p.path)]


def _described(parts: Sequence[TextPart]) -> list[int]:
    return [i for i, p in enumerate(parts) if p.text and p.role == "tool_description"]


def _message(path: str) -> str:
    """The message of a content part; empty for any other text."""
    found = _CONTENT_PART.match(path)
    return found[1] if found else ""


def _word_border(text: str, at: int) -> int:
    space = text.find(" ", at)
    return at if space < 0 else space + 1
