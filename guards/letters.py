"""The same words in other letters: digits and signs for letters, and letters set apart.

Only the words near to such letters are read; where others are left out stands a barrier, so that no name is found
across it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from guards.normalize import SEPARATOR, WORD, Bools, Codes, Folded, Ints, text_of

APART = 4
"""So many single letters in a row are words whose letters are set apart."""
_CODE_POINTS = 0x110000
_NEAR = 8
"""Words on both sides of letters set apart that are read with them."""
_AROUND = 4
"""The same of words that mix letters and digits."""
_LETTER = np.array([chr(c).isalpha() for c in range(128)])
_LEET_TABLE = np.zeros(128, np.uint32)
_LEET_TABLE[[ord(c) for c in "013457@$!|"]] = [ord(c) if c > "1" else 1 for c in "o1eastasi1"]
_LEET_SIGN = _LEET_TABLE > 0
_SPAN = 4


def apart(folded: Folded) -> Folded | None:
    """Letters set apart written together, words parted where the gap is another one: `w h o  i s` -> `who is`.

    None where there are no APART letters in a row. The gap between letters is the one that is most frequent. Words far
    from them are left out; there stands a barrier, so that no name is found across it.
    """
    letter = np.concatenate([[False], folded.kinds != SEPARATOR, [False]])
    edges = np.flatnonzero(letter[1:] != letter[:-1])
    starts, ends = edges[::2], edges[1::2]
    if len(starts) < APART:
        return None
    single = ends - starts == 1
    between = single[:-1] & single[1:]
    runs = np.flatnonzero(np.diff(np.concatenate([[0], between.view(np.int8), [0]])))
    long = np.zeros(len(between) + 1, np.int64)
    chosen = runs[1::2] - runs[::2] >= APART - 1
    np.add.at(long, runs[::2][chosen], 1)
    np.add.at(long, runs[1::2][chosen], -1)
    gaps = np.flatnonzero(np.cumsum(long)[:-1])
    if not len(gaps):
        return None
    gap = (starts[gaps + 1] - ends[gaps]) * np.int64(_CODE_POINTS) + folded.codes[ends[gaps]]
    found, counts = np.unique(gap, return_counts=True)
    gaps = gaps[gap == found[np.argmax(counts)]]
    step = np.zeros(len(starts) + 1, np.int64)
    np.add.at(step, np.maximum(gaps - _NEAR, 0), 1)
    np.add.at(step, np.minimum(gaps + 2 + _NEAR, len(starts)), -1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (np.cumsum(step)[:-1] > 0).view(np.int8), [0]])))
    keep = np.zeros(len(folded.codes) + 1, np.int64)
    keep[np.maximum(starts[edges[::2]] - 1, 0)] += 1
    followed = edges[1::2] < len(starts)
    barrier = starts[edges[1::2][followed]]
    keep[np.where(followed, starts[np.minimum(edges[1::2], len(starts) - 1)] + 1, len(folded.codes))] -= 1
    np.add.at(keep, ends[gaps], -1)
    np.add.at(keep, starts[gaps + 1], 1)
    kept = np.flatnonzero(np.cumsum(keep)[:-1] > 0)
    codes, kinds = folded.codes.copy(), folded.kinds.copy()
    codes[barrier], kinds[barrier] = 0, WORD
    return Folded(text_of(codes[kept]), codes[kept], kinds[kept], folded.original(kept))


def leet(folded: Folded, starts: Ints, ends: Ints) -> Iterator[Folded]:
    """Digits and signs read as letters, near words `[start, end)` that mix both; other words are left out.

    Where words are left out stands a barrier, so that no name is found across it.
    """
    codes = np.minimum(folded.codes, 127)
    mixed = _mixed(codes)
    if not len(mixed):
        return
    near = np.zeros(len(starts) + 2 * _AROUND + 1, np.int64)
    place = np.searchsorted(starts, mixed, "right") - 1
    np.add.at(near, place, 1)
    np.add.at(near, place + 2 * _AROUND + 1, -1)
    chosen = np.cumsum(near)[_AROUND : _AROUND + len(starts)] > 0
    keep = np.zeros(len(codes), bool)
    barrier = np.zeros(len(codes), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.view(np.int8), [0]])))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        keep[max(starts[a] - 1, 0) : ends[b - 1] + 1] = True
        if b < len(starts):
            barrier[starts[b]] = True
    keep |= barrier
    kept = folded.codes[keep]
    small = np.minimum(kept, 127)
    origin = folded.original(np.flatnonzero(keep))
    sign = _LEET_SIGN[small]
    kinds = np.where(sign | barrier[keep], np.uint8(WORD), folded.kinds[keep])
    for one in ("i", "l") if np.isin(small, [ord("1"), ord("|")]).any() else ("i",):
        table = np.where(_LEET_TABLE == 1, ord(one), _LEET_TABLE)
        plain = np.where(barrier[keep], 0, np.where(sign, table[small], kept)).astype(folded.codes.dtype)
        yield Folded(text_of(plain), plain, kinds, origin)


def _mixed(codes: Codes) -> Ints:
    """Where signs stand for letters: one or two between letters, three behind one, or two before three."""
    sign, letter = (np.append(kind[codes], [False] * _SPAN) for kind in (_LEET_SIGN, _LETTER))
    size = len(codes)

    def at(kind: Bools, place: int) -> Bools:
        return kind[place : place + size]

    between = at(letter, 0) & at(sign, 1) & at(letter, 2)
    between |= at(letter, 0) & at(sign, 1) & at(sign, 2) & at(letter, 3)
    behind = at(letter, 0) & at(sign, 1) & at(sign, 2) & at(sign, 3)
    before = at(sign, 0) & at(sign, 1) & at(letter, 2) & at(letter, 3) & at(letter, 4)
    return np.flatnonzero(between | behind | before) + 1
