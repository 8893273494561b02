"""Overlapping windows over the words of a text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from guards.normalize import Bools, Ints

SIZE, STEP = 32, 16
WHOLE = 128
SHORT, LONG = 6, 96
"""In tokens: sliding windows and their distance; a text up to WHOLE is a window itself; a sentence below SHORT is read
with the next one, a sentence above LONG is left to the sliding windows."""

_STOPS = np.array([chr(c) in ".!?;:" for c in range(128)])
_CLOSERS = np.array([chr(c) in "\"')]}" for c in range(128)])
_IDEOGRAPHIC_STOP = 0x3002


def sentence_ends(codes: npt.NDArray[np.unsignedinteger], starts: Ints, ends: Ints) -> Bools:
    """Whether each word `[start, end)` of a folded text ends a sentence; the last one does."""
    last = codes[ends - 1]
    tail = np.minimum(last, 127)
    before = np.minimum(codes[np.maximum(ends - 2, starts)], 127)
    done = _STOPS[tail] | (_CLOSERS[tail] & _STOPS[before]) | (last == _IDEOGRAPHIC_STOP)
    if len(ends):
        feeds = np.flatnonzero(codes == 10)
        done[np.searchsorted(starts, feeds[feeds > starts[0]]) - 1] = True
        done[-1] = True
    return np.asarray(done, bool)


def windows(tokens: Ints, ends: Bools) -> tuple[Ints, Ints]:
    """Word ranges `[first, last)` of all windows: sliding ones, sentences, and the whole text if it is short.

    Every word is in a sliding window, and so is every run of words of at most SIZE - STEP tokens: no gap.
    """
    n = len(tokens)
    if n == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    after = np.cumsum(tokens)
    total = int(after[-1])
    at = np.arange(0, max(total - SIZE + STEP, 1), STEP)
    first = np.searchsorted(after, at, "right")
    last = np.minimum(np.searchsorted(after, np.minimum(at + SIZE, total) - 1, "right") + 1, n)
    stop = np.flatnonzero(ends) + 1
    start = np.concatenate([[0], stop[:-1]])
    before = np.concatenate([[0], after])
    following = np.concatenate([stop[1:], stop[-1:]])
    stop = np.where(before[stop] - before[start] < SHORT, following, stop)
    fits = before[stop] - before[start] <= LONG
    whole = [0] if total <= WHOLE else []
    first = np.concatenate([first, start[fits], np.array(whole, np.int64)])
    last = np.concatenate([last, stop[fits], np.array([n] * len(whole), np.int64)])
    key = np.unique(first * (n + 1) + last)
    return key // (n + 1), key % (n + 1)
