"""Which words share what is left of them after deletions: those within two edits of each other do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

MOST = 2
"""Letters that are left out."""
LONGEST = 24
"""Letters of a word that is looked at; longer ones are no words of names."""
_BASE = 0x9E3779B97F4A7C15
_SPARE = 32
"""Places of the table for each hash in it."""
_BITS = range(12, 25)
_BATCH = 1 << 15
Hashes = npt.NDArray[np.uint64]


class Deletions:
    """Hashes of what is left of words after up to MOST deletions; longer words within MOST edits share one of them.

    All deletions of a word are one product of its letters with a table, so that a million distinct words of a hostile
    text cost little more than reading them. It may say yes where the answer is no, never the other way round.
    """

    def __init__(self, words: Iterable[str]) -> None:
        """Build the index of words of at most LONGEST letters."""
        self._tables = {size: _table(size) for size in range(1, LONGEST + 1)}
        self.words = sorted(set(words))
        place = {word: at for at, word in enumerate(self.words)}
        hashes, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int32)]
        for group, found in self._hashes(self.words):
            hashes.append(found.ravel())
            owners.append(np.repeat(np.array([place[word] for word in group], np.int32), found.shape[1]))
        order = np.argsort(np.concatenate(hashes), kind="stable")
        self._known, self._owners = np.concatenate(hashes)[order], np.concatenate(owners)[order]
        bits = min(max((len(order) * _SPARE).bit_length(), _BITS.start), _BITS.stop - 1)
        self._shifts = np.uint64(64 - bits), np.uint64(64 - 2 * bits)
        self._mask = np.uint64((1 << bits) - 1)
        self._held = np.zeros(1 << bits, bool)
        for shift in self._shifts:
            self._held[(self._known >> shift) & self._mask] = True

    def sharing(self, word: str) -> set[str]:
        """The words of the list that may lie within MOST edits of one."""
        found: set[str] = set()
        for _, hashes in self._hashes([word] if 0 < len(word) <= LONGEST else []):
            low = np.searchsorted(self._known, hashes[0], "left").tolist()
            high = np.searchsorted(self._known, hashes[0], "right").tolist()
            found.update(self.words[at] for a, b in zip(low, high, strict=True) for at in self._owners[a:b].tolist())
        return found

    def likely(self, words: Iterable[str]) -> set[str]:
        """Those of the words that may lie within MOST edits of one in the list."""
        found: set[str] = set()
        for group, hashes in self._hashes([w for w in words if len(w) <= LONGEST]):
            one, other = (self._held[(hashes >> shift) & self._mask] for shift in self._shifts)
            found.update(group[at] for at in np.flatnonzero((one & other).any(1)).tolist())
        return found

    def _hashes(self, words: Sequence[str]) -> Iterable[tuple[list[str], Hashes]]:
        """Words of equal length with the hashes of all their deletions, `[words, deletions]`."""
        by_size: dict[int, list[str]] = {}
        for word in words:
            by_size.setdefault(len(word), []).append(word)
        for size, group in by_size.items():
            for start in range(0, len(group), _BATCH):
                batch = group[start : start + _BATCH]
                codes = np.frombuffer("".join(batch).encode("utf-32-le", "surrogatepass"), np.uint32)
                yield batch, codes.reshape(len(batch), size).astype(np.uint64) @ self._tables[size]


def _table(size: int) -> Hashes:
    """Factor of every letter of a word of `size` in the hash of every deletion, `[size, deletions]`.

    The hash is a polynomial in an odd base modulo 2**64, times the base once more so that its high bits are mixed.
    """
    powers = [pow(_BASE, power + 2, 1 << 64) for power in range(size)]
    columns = []
    for count in range(min(MOST, size - 1) + 1):
        for gone in combinations(range(size), count):
            left = iter(powers)
            columns.append([0 if at in gone else next(left) for at in range(size)])
    return np.array(columns, np.uint64).T.copy()
