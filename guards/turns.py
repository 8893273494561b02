"""Questions split over several user turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guards.verdict import Span, TextPart

REACH = 192
"""Characters read on both sides of the border between two user turns."""


@dataclass(frozen=True, slots=True)
class Joint:
    """The end of a user turn with the beginning of the next ones.

    `pieces` are `(start, part, offset, length)`: the characters `[start, start + length)` of `text` are those from
    `offset` on of part number `part`.
    """

    text: str
    pieces: tuple[tuple[int, int, int, int], ...]

    def spans(self, start: int, end: int) -> list[Span]:
        """Characters `[start, end)` of the joint text as spans of the parts."""
        found = []
        for at, part, offset, length in self.pieces:
            low, high = max(start, at), min(end, at + length)
            if low < high:
                found.append(Span(part, offset + low - at, offset + high - at))
        return found


def joints(parts: Sequence[TextPart]) -> Iterator[Joint]:
    """One joint text per border between user turns; it goes on over short turns until REACH is filled."""
    turns = [(i, p.text) for i, p in enumerate(parts) if p.role == "user" and p.text]
    for at in range(len(turns) - 1):
        part, text = turns[at]
        begin = _word_border(text, len(text) - REACH) if len(text) > REACH else 0
        chosen = [(part, begin, text[begin:])]
        room = REACH
        for part, text in turns[at + 1 :]:
            end = len(text) if len(text) <= room else max(text.rfind(" ", 0, room), 0) or room
            chosen.append((part, 0, text[:end]))
            room -= end + 1
            if room <= 0 or end < len(text):
                break
        pieces, start = [], 0
        for part, offset, piece in chosen:
            pieces.append((start, part, offset, len(piece)))
            start += len(piece) + 1
        yield Joint(" ".join(piece for _, _, piece in chosen), tuple(pieces))


def _word_border(text: str, at: int) -> int:
    space = text.find(" ", at)
    return at if space < 0 else space + 1
