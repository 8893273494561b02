"""Names whose words are misspelt, or respelt as they sound in another language."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from guards.respelt import respellings
from guards.typos import Typos

LEAST = {0: 9, 1: 8, 2: 8}
"""Edits of a whole name -> letters that it has at least; without an edit it is respelt by its sound."""
_LONG, _RIGHT = 6, 5
"""Letters of a word that holds two edits whatever stands beside it; letters spelt right beside a shorter one."""
_ALONE = 5
"""Letters of a word that is searched for misspelt in every text, and not only beside a word of the same name."""
_PIECE = 4
"""Letters of a word of the dictionary that another one may be glued to."""
_CLEAR = 10
"""Letters of a word that other words of a language hardly resemble."""
_GLUE = frozenset(
    """
    a am s t d m re ll ve an and are as at be but by did do does for from had has have he her him his how i if in into
    is it its me my no nor not of off on or our out she so than that the their them then they this to too up was we were
    what when which who why will with you your de la le el van von der den di da du al bin ibn st
    """.split()  # noqa: SIM905 - as a list it would be a page long
)
"""Words that stand in too many names and texts to search beside them."""
_ENDINGS = ("s", "es", "ed", "ing", "ly", "er", "ers")
_DOUBLED = re.compile(r"(.)\1+")
_REMEMBERED = 1 << 16

Place = tuple[int, int, int, bool]
"""Number of a name, first word, end of its words, and whether none of these words may be meant as it stands."""


class Misspelt:
    """Finds names by their words. Reading is thread-safe.

    A name of several words is searched where a word of it, spelt right or nearly so, stands beside another one of it
    that is misspelt: the work is bounded by the words of the text, whatever the number of names.

    A word of the dictionary may be a misspelt one of a name ("Harry Petter") or mean what it says ("Harry Porter"): a
    name with one of them is found, but it is not sure, unless another word of it is misspelt as no dictionary has it. A
    text where all words of the name are of that kind ("hairy pottery") does not hold the name. What stays sure although
    it may be harmless: an ordinary word that is also a word of the name respelt by its sound ("Joan Rowling"), and a
    name in two pieces ("hog warts", see `guards.aliases`).
    """

    def __init__(
        self, names: Sequence[Sequence[str]], ordinary: Collection[str], dictionary: Collection[str] = frozenset()
    ) -> None:
        """Build the index of names, given as folded words.

        `ordinary` words are never taken for misspelt ones, nor those of the `dictionary` for names of one word.
        """
        self._names = [tuple(words) for words in names]
        self._pairs: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self._whole: dict[str, list[int]] = {}
        inside: set[str] = set()
        for number, words in enumerate(self._names):
            if sum(map(len, words)) < LEAST[1]:
                continue
            self._whole.setdefault("".join(words), []).append(number)
            if len(words) > 1:
                inside.update(words)
                for at, pair in enumerate(pairwise(words)):
                    self._pairs.setdefault(pair, []).append((number, at))
        self._inside = inside
        self._by_itself = frozenset(words[0] for words in self._names if len(words) == 1)
        self._respelt: dict[str, list[str]] = {}
        for word in sorted(inside):
            for spelling in respellings(word):
                self._respelt.setdefault(spelling, []).append(word)
        self._anchors = frozenset(inside | self._respelt.keys()) - _GLUE
        self._ordinary = frozenset(ordinary)
        self._dictionary = frozenset(dictionary) - self._ordinary
        self._near = Typos(inside | self._whole.keys())
        self._plain: set[str] = set()
        self._lock = threading.Lock()

    def find(self, words: Sequence[str]) -> Iterator[Place]:
        """Misspelt names among the words of a text; some come twice."""
        if not self._whole:
            return
        distinct = set(words)
        likely = self._likely(distinct)
        hot = self._anchors & distinct
        whole: dict[str, list[int]] = {}
        for word in likely - self._by_itself - self._dictionary:
            for name, count in self._near.near(word):
                if count == 1 and len(name) >= _ALONE and name in self._inside:
                    hot |= {word}
                enough = count == 1 or (name in self._by_itself and _slip(name, word) and not self._glued(word))
                if enough and len(name) >= LEAST[count] and not self._inflected(word):
                    whole.setdefault(word, []).extend(self._whole.get(name, ()))
        marked = hot | whole.keys()
        if not marked:
            return
        beside: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for at in [at for at, word in enumerate(words) if word in marked]:
            for number in whole.get(words[at], ()):
                yield number, at, at + 1, True
            for left in (at - 1, at) if words[at] in hot else ():
                if 0 <= left < len(words) - 1:
                    pair = words[left], words[left + 1]
                    if pair not in beside:
                        beside[pair] = self._beside(pair, likely)
                    for number, place in beside[pair]:
                        first, size = left - place, len(self._names[number])
                        if size == 2 or self._fits(self._names[number], words, first, likely):
                            there = words[first : first + size]
                            yield number, first, first + size, self._is_sure(self._names[number], there)

    def _is_sure(self, name: Sequence[str], there: Sequence[str]) -> bool:
        """Whether no word that is not spelt as in the name, or its plural, may be meant as it stands.

        Beside a misspelt word that the dictionary does not hold, one that it holds is misspelt as well: "hurry potoer".
        Both must begin with the right letter: "hary rotter" may be somebody else.
        """
        other = [(word, spelt) for word, spelt in zip(name, there, strict=True) if spelt not in (word, f"{word}s")]
        if all(spelt not in self._dictionary for _, spelt in other):
            return True
        return any(spelt not in self._dictionary for _, spelt in other) and all(w[0] == s[0] for w, s in other)

    def _likely(self, distinct: set[str]) -> set[str]:
        """Words that may be misspelt ones of names; nearly all words of a text were seen before."""
        new = distinct - self._plain - self._ordinary
        likely = self._near.likely(new)
        plain = new - likely
        if plain:
            with self._lock:
                if len(self._plain) + len(plain) > _REMEMBERED:  # a new set: other threads may read the old one
                    self._plain = set()
                self._plain.update(list(plain)[:_REMEMBERED])
        return likely

    def _glued(self, word: str) -> bool:
        """Whether a word is two of the dictionary in one, as identifiers are: no slip of another ("thistrans")."""
        known = self._dictionary, self._ordinary
        ends = range(_PIECE, len(word) - _PIECE + 1)
        return any(all(any(part in of for of in known) for part in (word[:at], word[at:])) for at in ends)

    def _inflected(self, word: str) -> bool:
        """Whether a word is an ordinary one with an ending."""
        stems = (word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending))
        return any(stem in self._ordinary or f"{stem}e" in self._ordinary for stem in stems)

    def _beside(self, pair: tuple[str, str], likely: Collection[str]) -> list[tuple[int, int]]:
        """Names, and the place in them, that two neighbouring words of a text may be of."""
        found = []
        others = self._meant(pair[1], likely)
        for one, cost in self._meant(pair[0], likely) if others else ():
            for other, more in others:
                if cost + more <= max(LEAST):
                    for number, place in self._pairs.get((one, other), ()):
                        if len(self._names[number]) > 2 or self._fits(self._names[number], pair, 0, likely):
                            found.append((number, place))
        return found

    def _meant(self, word: str, likely: Collection[str]) -> list[tuple[str, int]]:
        """Words of names that a word may stand for, with edits."""
        right = [(word, 0)] if word in self._inside else []
        near = self._near.near(word) if word in likely else ()
        return [*right, *((w, 0) for w in self._respelt.get(word, ())), *near]

    def _fits(self, name: Sequence[str], words: Sequence[str], first: int, likely: Collection[str]) -> bool:
        """Whether the words from `first` on are a name with few enough edits, and not the name itself."""
        there = tuple(words[first : first + len(name)]) if first >= 0 else ()
        if len(there) < len(name) or there == name:
            return False
        counts = [
            0 if word == spelt else min((n for w, n in self._meant(spelt, likely) if w == word), default=3)
            for word, spelt in zip(name, there, strict=True)
        ]
        total = sum(counts)
        if total not in LEAST:
            return False
        respelt = any(not n and word != spelt for word, spelt, n in zip(name, there, counts, strict=True))
        least = max(LEAST[total], LEAST[0] if respelt else 0)
        if sum(map(len, name)) < least or (respelt and total > 1):
            return False
        right = sum(len(word) for word, n in zip(name, counts, strict=True) if not n)
        return not any(
            n == 2 and len(word) < _LONG and (right < _RIGHT or not _slip(word, spelt))
            for word, spelt, n in zip(name, there, counts, strict=True)
        )


def _slip(name: str, word: str) -> bool:
    """Whether a word may be another one with two edits by itself: letters swapped, left out, doubled, others.

    Other words of the language lie two edits away as well, but mostly with other letters and fewer ones at once
    (`burgers`, `bludgers`; `hogarth`, `hogwarts`). Two other letters are looked at in long names only, where hardly a
    word that no dictionary holds comes so near. How often a letter is doubled says nothing.
    """
    if name[0] != word[0] or (len(name) < _LONG and len(word) < len(name) - 1):  # "mt" is not "matt"
        return False
    spelt, meant = _DOUBLED.sub(r"\1", word), _DOUBLED.sub(r"\1", name)
    other, missing = (Counter(spelt) - Counter(meant)).total(), len(meant) - len(spelt)
    if other < 2 and len(name) >= _CLEAR:
        return True
    return missing <= (not other) and (other < 2 or len(name) >= LEAST[2])
