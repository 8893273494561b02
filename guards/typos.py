"""Words of names that a misspelt word of a text may stand for."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable

from guards.deletions import LONGEST, MOST, Deletions

SHORTEST = 4
"""Shorter words of names are matched exactly: too many ordinary words lie one edit away."""
CAREFUL = 6
"""In shorter words the first letter must be right: `barry` is not `harry`."""
_ALPHABETS = "\u0590"
"""Latin, Greek, Cyrillic and Armenian come before; of the others one letter more or less often makes another word."""
CHOICES = 32
"""Corrections of one word that are tried."""
_FEW = 8
"""So many words are looked up one by one."""
_REMEMBERED = 1 << 16


def edits_in(word: str) -> bool:
    """Whether a word of a name may hold edits: one of an alphabet that writes its vowels."""
    return SHORTEST <= len(word) <= LONGEST and word.isalpha() and max(word) < _ALPHABETS


def edits(a: str, b: str, most: int) -> int:
    """Damerau-Levenshtein distance of two words, swaps of neighbours counted once; `most + 1` if it is larger.

    R. Lowrance and R. A. Wagner, An extension of the string-to-string correction problem, J. ACM 22 (1975).
    """
    if a == b:
        return 0
    if abs(len(a) - len(b)) > most:
        return most + 1
    far = len(a) + len(b)
    rows = [[far] * (len(b) + 2), [far, *range(len(b) + 1)]]
    seen: dict[str, int] = {}
    for i, one in enumerate(a, 1):
        row, same = [far, i], 0
        for j, other in enumerate(b, 1):
            k, m = seen.get(other, 0), same
            if one == other:
                same = j
            changed = rows[i][j] + (one != other)
            swapped = rows[k][m] + (i - k - 1) + 1 + (j - m - 1)
            row.append(min(changed, row[-1] + 1, rows[i][j + 1] + 1, swapped))
        rows.append(row)
        seen[one] = i
    found: int = rows[-1][-1]
    return min(found, most + 1)


class Typos:
    """Finds the words of names that lie within MOST edits of a word.

    A look-up costs the same for one name and for thousands. Thread-safe.
    """

    def __init__(self, words: Iterable[str]) -> None:
        """Build the index of those of the words that may hold edits."""
        self._deletions = Deletions(w for w in words if edits_in(w))
        self._found: dict[str, tuple[tuple[str, int], ...]] = {}
        self._lock = threading.Lock()

    def likely(self, words: Collection[str]) -> set[str]:
        """Those of many words that others are near."""
        quick = self._deletions.likely(words) if len(words) > _FEW else words
        return {word for word in quick if self.near(word)}

    def near(self, word: str) -> tuple[tuple[str, int], ...]:
        """Other words that this one may stand for, with the number of edits: fewest first, at most CHOICES."""
        known = self._found.get(word)
        if known is not None:
            return known
        close = sorted((edits(word, w, MOST), w) for w in self._deletions.sharing(word) if w != word)
        right = [(w, n) for n, w in close if n <= MOST and (len(w) >= CAREFUL or w[0] == word[0])]
        found = tuple(right[:CHOICES])
        with self._lock:
            if len(self._found) >= _REMEMBERED:  # a new table: other threads may read the old one
                self._found = {}
            self._found[word] = found
        return found
