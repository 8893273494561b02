"""Texts -> the words that an index of values is asked about, in every view of `guards.views`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from guards.blindindex import SLIDING, BlindIndex, apart, words_of
from guards.normalize import SEPARATOR, WIDE
from guards.reading import Reader, Reading
from guards.verdict import TextPart
from guards.viewing import ViewsOnly


class UnreadError(ValueError):
    """A text that is too long or too deeply coded to be read in full."""


@dataclass(frozen=True, slots=True)
class Words:
    """Canonical words of one view of a text; `apart`: those that were letters written apart."""

    words: list[str]
    apart: list[str]


class Wording:
    """Reads texts as words. Thread-safe."""

    def __init__(self) -> None:
        self._reader = Reader(ViewsOnly())

    def read(self, text: str) -> tuple[list[Words], list[int]]:
        """Words of all views of a text, and where every word of the plain one begins. Raises `UnreadError`."""
        reading = self._reader.read(text)
        words = in_views(reading)
        if reading.truncated or sum(len(run) for view in words for run in view.apart) > SLIDING:
            raise UnreadError("a text is too long or too deeply coded to be read in full")
        return words, _starts(reading)

    def words(self, texts: Iterable[str]) -> list[Words]:
        """Words of all views of texts. Raises `UnreadError`."""
        return [words for text in texts for words in self.read(text)[0]]

    def readable(self, text: str) -> list[Words] | None:
        """Words of all views of a text; None where it cannot be read in full."""
        try:
            return self.read(text)[0]
        except UnreadError:
            return None


class Question:
    """The texts of a request, read when they are first asked for.

    A text that cannot be read in full is taken to hold no value and every subject. To fail would tell a client that an
    answer holds a value, because only then is the request read. `unread` says so, once the texts were asked for.
    """

    def __init__(self, parts: Sequence[TextPart], wording: Wording) -> None:
        self._parts, self._wording = parts, wording
        self._read: list[tuple[bool, list[Words]]] | None = None
        self._held: dict[str, list[tuple[bool, set[int]]]] = {}
        self.unread = False

    def found(self, policy: str, index: BlindIndex) -> list[tuple[bool, set[int]]]:
        """Of every text whether the user supplied it, and the numbers of the items in it."""
        if self._read is None:
            self._read = []
            for part in self._parts:
                words = self._wording.readable(part.text)
                self.unread = self.unread or words is None
                if words is not None:
                    self._read.append((part.role != "assistant", words))
        if policy not in self._held:
            self._held[policy] = [(supplied, set(counted(index, words))) for supplied, words in self._read]
        return self._held[policy]


def in_views(reading: Reading) -> list[Words]:
    """Words of all views of a text that was read."""
    return [Words(words_of(v.view), apart(v.view) if v.loose else []) for v in reading.views]


def counted(index: BlindIndex, views: Iterable[Words]) -> Counter[int]:
    """Numbers of the items in any view, and how often each is found."""
    return sum((index.find(view.words, apart=view.apart) for view in views), Counter[int]())


def _starts(reading: Reading) -> list[int]:
    """Original positions at which the words of the plain view begin, as `words_of` parts them."""
    plain = next((view.view for view in reading.views if view.text is not None), None)
    if plain is None:
        return []
    before = np.concatenate([[SEPARATOR], plain.kinds[:-1]])
    begins = (plain.kinds != SEPARATOR) & ((before == SEPARATOR) | (before == WIDE) | (plain.kinds == WIDE))
    starts: list[int] = plain.origin[begins].tolist()
    return starts
