"""Words one typo away from a word of a name."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator

SHORTEST = 5
"""Shorter words of names are matched exactly: too many ordinary words lie one typo away."""
MOST = 4
"""Corrections of one word that are tried."""
_REMEMBERED = 1 << 16


def deletions(word: str) -> Iterator[str]:
    """The word itself and the word without one of its letters."""
    yield word
    for i in range(1, len(word)):  # the first letter must be right
        yield word[:i] + word[i + 1 :]


def within_one(a: str, b: str) -> bool:
    """Whether the Damerau-Levenshtein distance (adjacent swaps count once) of two words is at most 1."""
    if a == b:
        return True
    if len(a) > len(b):
        a, b = b, a
    at = next((i for i, c in enumerate(a) if c != b[i]), len(a))
    if len(a) < len(b):
        return len(b) - len(a) == 1 and a[at:] == b[at + 1 :]
    return a[at + 1 :] == b[at + 1 :] or (a[at : at + 2] == b[at : at + 2][::-1] and a[at + 2 :] == b[at + 2 :])


class Typos:
    """Finds the word of a name that a word of a text is a typo of: same first letter, distance 1.

    Symmetric deletion: two words at distance 1 share the word or a word with one letter less. Words that are ordinary
    themselves are never typos ("porter" is not "potter"). Thread-safe.
    """

    def __init__(self, words: Iterable[str], ordinary: Collection[str]) -> None:
        self._ordinary = ordinary
        self._near: dict[str, list[str]] = {}
        for word in sorted({w for w in words if len(w) >= SHORTEST and w.isalpha()}):
            for part in deletions(word):
                self._near.setdefault(part, []).append(word)
        self._initials = frozenset(w[0] for w in self._near)
        longest = max(map(len, self._near), default=0) + 1
        self._sizes = range(SHORTEST - 1, longest + 1)
        self._right: set[str] = set()
        self._fixed: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def fixes(self, words: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Misspelled words of a text with the words they may stand for, in alphabetical order, at most MOST."""
        if not self._near:
            return {}
        found = {}
        for word in set(words).difference(self._right):  # nearly all words of a text were seen before
            right = self._fix(word)
            if right:
                found[word] = right
        return found

    def _fix(self, word: str) -> tuple[str, ...]:
        fixed = self._fixed.get(word)
        if fixed is not None:
            return fixed
        right: tuple[str, ...] = ()
        if word[0] in self._initials and len(word) in self._sizes and word not in self._ordinary:
            near = {w for part in deletions(word) for w in self._near.get(part, ())}
            right = tuple(sorted(w for w in near if w[0] == word[0] and within_one(word, w))[:MOST])
        with self._lock:
            if len(self._right) + len(self._fixed) >= _REMEMBERED:  # new tables: other threads may read the old ones
                self._right, self._fixed = set(), {}
            if right:
                self._fixed[word] = right
            else:
                self._right.add(word)
        return right
