"""Matching of names, aliases and related names, with their usual variants, over all policies at once."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import ahocorasick
import numpy as np

from guards.foreign import Foreign
from guards.misspelt import Misspelt
from guards.normalize import WIDE, AliasView, Normalizer
from guards.transliterated import Transliterations
from guards.typos import edits

Kind = Literal["alias", "related", "title"]
"""A title is a verdict by itself where it is written as one, and a related name elsewhere."""

GLUED = 6
"""From so many letters on, words of a name are also found written together, and at the edge of a digit."""
TYPO = 8
"""From so many letters on, a name may be written in pieces."""
_JAMO = frozenset(map(chr, range(0x1100, 0x1200)))


@dataclass(frozen=True, slots=True)
class Name:
    """One name of one policy. `policy` and `entity` are indices; `number` tells names of a policy apart."""

    policy: int
    entity: int
    kind: Kind
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Match:
    """A name found at the characters `[start, end)` of a view."""

    name: Name
    start: int
    end: int


def variants(words: Sequence[str]) -> set[str]:
    """Spellings of a name, as alias views write them: single spaces between words, no punctuation.

    Hyphens, dots, underscores and the apostrophe of a possessive are spaces in an alias view. What is added here:
    words written together, surname first, initials with and without dots, plural and apostrophe-less possessive, and
    long names rotated by 13 letters or reversed.
    """
    found: set[str] = set()
    for order in orders(words):
        found.add(" ".join(order))
        initials = join_initials(order)
        found.add(" ".join(initials))
        for split in _split_initials(initials):
            found.add(" ".join(split))
    glued = "".join(words)
    if len(glued) >= GLUED:
        found.add(glued)
    found |= pluralised(found)
    # A name alone behind a letter code in a plain sentence; a whole sentence behind one is a view of its own.
    coded = {v for v in found if len(v) >= TYPO and v.isascii()}
    return found | {codecs.encode(v, "rot13") for v in coded} | {v[::-1] for v in coded}


def orders(words: Sequence[str]) -> list[list[str]]:
    """A name as it is, and with the surname first."""
    if 2 <= len(words) <= 4 and all(w.isalpha() for w in words):
        return [list(words), [words[-1], *words[:-1]]]
    return [list(words)]


def pluralised(spellings: Iterable[str]) -> set[str]:
    """Plurals, and possessives without the apostrophe, of spellings of four letters or more."""
    long = (s for s in spellings if len(s) >= 4 and s[-1].isalpha() and s[-1].isascii())
    return {s + ("es" if s[-1] in "sxz" else "s") for s in long}


def join_initials(words: Sequence[str]) -> list[str]:
    """`j k rowling` -> `jk rowling`."""
    joined: list[str] = []
    single = False
    for word in words:
        if single and len(word) == 1:
            joined[-1] += word
        else:
            joined.append(word)
        single = len(word) == 1
    return joined


def _split_initials(words: Sequence[str]) -> Iterator[list[str]]:
    """`jk rowling` -> `j k rowling`: a short first or last word without vowels can only be initials."""
    for at in (0, len(words) - 1):
        word = words[at]
        if len(words) > 1 and 2 <= len(word) <= 3 and word.isalpha() and not set(word) & set("aeiouy"):
            yield [*words[:at], *word, *words[at + 1 :]]


class AliasIndex:
    """One automaton over the names of all policies. Reading is thread-safe."""

    def __init__(
        self,
        names: Sequence[Name],
        normalizer: Normalizer,
        ordinary: frozenset[str] | None = None,
        dictionary: frozenset[str] = frozenset(),
    ) -> None:
        """Build the index. `ordinary` words are never taken for misspelt ones; without them no name is misspelt.

        An alias in which a word of the `dictionary` stands for one of several is a related name: "Harry Porter".
        """
        self._automaton = ahocorasick.Automaton()
        patterns: dict[str, list[Name]] = {}
        self.names = tuple(names)
        spelled = [normalizer.words(name.text) for name in names]
        for name, words in zip(names, spelled, strict=True):
            if not words:
                raise ValueError(f"name {name.number} of entity {name.entity} has no letter or digit; leave it out")
            for spelling in variants(words):
                patterns.setdefault(spelling, []).append(name)
        for spelling, owners in patterns.items():
            self._automaton.add_word(spelling, (len(spelling), tuple(owners)))
        if patterns:
            self._automaton.make_automaton()
        self._empty = not patterns
        self._heard = Transliterations(spelled)
        ordered = [(number, tuple(order)) for number, words in enumerate(spelled) for order in orders(words)]
        self._ordered = [number for number, _ in ordered]
        self._words = [order for _, order in ordered]
        self._misspelt = None if ordinary is None else Misspelt(self._words, ordinary, dictionary)

    def find(self, view: AliasView, words: Sequence[str], *, loose: bool = False) -> list[Match]:
        """Matches in a view. `words` are the words of the view; `loose` drops word boundaries for long names."""
        if self._empty:
            return []
        found = list(self._exact(view.text, view.kinds, loose))
        if not loose:
            found += self._split(view)
        found += self._misspelled(words)
        return found

    def hear(self, foreign: Foreign) -> Iterator[Match]:
        """Names that are transliterated in a text, which `foreign` holds; positions are characters of it."""
        for number, start, end in self._heard.find(foreign):
            yield Match(self.names[number], start, end)

    def _exact(self, text: str, kinds: np.ndarray[tuple[int], np.dtype[np.uint8]], loose: bool) -> Iterator[Match]:
        for last, (length, names) in self._automaton.iter(text):
            start, end = last - length + 1, last + 1
            if (loose and length >= GLUED) or (
                _edge(text, kinds, start, start - 1, length) and _edge(text, kinds, last, end, length)
            ):
                for name in names:
                    yield Match(name, start, end)

    def _split(self, view: AliasView) -> Iterator[Match]:
        """Long names that are written in pieces, from the beginning of a word to the end of one: `dumble dore`."""
        packed = view.text.replace(" ", "")
        if len(packed) < TYPO or len(packed) == len(view.text):
            return
        found = [(end, *item) for end, item in self._automaton.iter(packed) if item[0] >= TYPO]
        if not found:
            return
        at = np.flatnonzero(view.codes != ord(" "))
        first, last = np.diff(at, prepend=-2) > 1, np.diff(at, append=at[-1] + 2) > 1
        for end, length, names in found:
            start = end - length + 1
            if first[start] and last[end] and at[end] - at[start] >= length:
                for name in names:
                    yield Match(name, int(at[start]), int(at[end]) + 1)

    def _misspelled(self, words: Sequence[str]) -> Iterator[Match]:
        """Names with misspelt words; `words` are those of a view, which single spaces part."""
        places = list(self._misspelt.find(words)) if self._misspelt else []
        if not places:
            return
        ends = np.cumsum([len(w) + 1 for w in words]) - 1
        for number, first, last, sure in dict.fromkeys(places):
            name = self.names[self._ordered[number]]
            if not sure and name.kind == "alias":  # a title must be written as one anyway
                name = replace(name, kind="related")
            spelt = "".join(self._words[number])
            # two edits make too many other words of a related name, which harmless texts hold by chance
            if name.kind == "related" and last - first == 1 and edits(words[first], spelt, 1) > 1:
                continue
            yield Match(name, int(ends[first]) - len(words[first]), int(ends[last - 1]))


def _edge(text: str, kinds: np.ndarray[tuple[int], np.dtype[np.uint8]], inside: int, outside: int, length: int) -> bool:
    """Whether a word may begin or end between two neighbouring characters."""
    if outside < 0 or outside >= len(text) or text[outside] == " ":
        return True
    if kinds[inside] == WIDE or kinds[outside] == WIDE:
        return True
    if length >= GLUED and outside > inside and "\u1100" <= text[outside] <= "\u1112" and text[inside] in _JAMO:
        return True  # particles are written together with a Korean name; folding takes syllables apart
    return length >= GLUED and text[inside].isdigit() != text[outside].isdigit()
