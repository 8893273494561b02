"""Texts -> the words that an index of values is asked about, in every view of `guards.views`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from guards.blindindex import SLIDING, BlindIndex, apart, words_of
from guards.heads import Begins, Heads
from guards.normalize import SEPARATOR, WIDE
from guards.reading import Reader, Reading
from guards.verdict import TextPart
from guards.viewing import ViewsOnly


class UnreadError(ValueError):
    """A text that is too long or too deeply coded to be read in full."""


@dataclass(frozen=True, slots=True)
class Words:
    """Canonical words of one view of a text.

    Attributes:
        words: in their order.
        apart: those that were letters written apart.
        heads: those with which spellings of the indices that are asked begin; None where that was not looked up.
    """

    words: list[str]
    apart: list[str]
    heads: Heads | None = None

    def of(self, index: BlindIndex) -> Counter[int]:
        """Numbers of the items of an index, and how often each is found."""
        begins = None if self.heads is None else self.heads.get(index.key, {})
        return index.find(self.words, apart=self.apart, begins=begins) if self.apart or begins != {} else Counter()


class Wording:
    """Reads texts as words. Thread-safe."""

    def __init__(self, indices: Iterable[BlindIndex] = ()) -> None:
        """`indices` are all that will be asked about the words, if they are known."""
        self._reader = Reader(ViewsOnly())
        self._begins = Begins(listed) if (listed := tuple(indices)) else None

    def read(self, text: str) -> tuple[list[Words], list[int]]:
        """Words of all views of a text, and where every word of the plain one begins. Raises `UnreadError`."""
        reading = self._reader.read(text)
        words = in_views(reading)
        if self._begins is not None:
            words = [replace(view, heads=self._begins.of(set(view.words))) for view in words]
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
    found = Counter[int]()
    for view in views:
        found.update(view.of(index))
    return found


def _starts(reading: Reading) -> list[int]:
    """Original positions at which the words of the plain view begin, as `words_of` parts them."""
    plain = next((view.view for view in reading.views if view.text is not None), None)
    if plain is None:
        return []
    before = np.concatenate([[SEPARATOR], plain.kinds[:-1]])
    begins = (plain.kinds != SEPARATOR) & ((before == SEPARATOR) | (before == WIDE) | (plain.kinds == WIDE))
    starts: list[int] = plain.origin[begins].tolist()
    return starts
