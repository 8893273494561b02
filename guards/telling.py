"""The words that make a description: with them gone, the linear model would not flag what is left.

A description without a name ("the school that the boy with the scar attends") is flagged as a whole window. To corrupt
all of it would leave a model that does not know what it was asked; to corrupt the words that the verdict rests on
leaves the frame of the question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from guards.encoder import Encoder, Floats
from guards.normalize import Bools, Ints, Normalizer

MOST = 64
"""Words of a window that are looked at one by one; a longer one is taken whole. Work grows with the cube of them."""


def telling(
    text: str, encoder: Encoder, normalizer: Normalizer, scores: Callable[[Floats], Floats], limit: float
) -> list[tuple[int, int]]:
    """Characters `[start, end)` of the words of a window that must go until its score is below `limit`.

    Greedy: the word without which the score is lowest goes first. `scores` maps vectors `[n, dim]` to scores `[n]`.
    The whole window where it has too many words, or where even single words are above the limit.
    """
    folded = normalizer.fold(text)
    words, first, last = folded.words()
    whole = [(0, len(text))]
    if not 0 < len(words) <= MOST:
        return whole
    kept = np.ones(len(words), bool)
    spelled = np.flatnonzero(kept)
    while scores(_vector(encoder, words, spelled))[0] >= limit:
        if len(spelled) == 1:
            return whole
        worth = scores(_without_each(encoder, words, spelled))
        kept[spelled[int(np.argmin(worth))]] = False
        spelled = np.flatnonzero(kept)
    return _runs(~kept, folded.original(first), folded.original(last - 1) + 1)


def _vector(encoder: Encoder, words: Sequence[str], chosen: Ints) -> Floats:
    read = encoder.read([words[i] for i in chosen])
    return read.vectors(np.array([0]), np.array([len(chosen)]))


def _without_each(encoder: Encoder, words: Sequence[str], chosen: Ints) -> Floats:
    """Vectors `[n, dim]` of the chosen words without the first, without the second, ..."""
    n = len(chosen)
    rest = np.tile(chosen, (n, 1))[~np.eye(n, dtype=bool)]
    starts = np.arange(n) * (n - 1)
    return encoder.read([words[i] for i in rest]).vectors(starts, starts + n - 1)


def _runs(gone: Bools, starts: Ints, ends: Ints) -> list[tuple[int, int]]:
    """Words that are gone as ranges of characters, neighbours joined."""
    found: list[tuple[int, int]] = []
    for i in np.flatnonzero(gone).tolist():
        if i and gone[i - 1]:
            found[-1] = (found[-1][0], int(ends[i]))
        else:
            found.append((int(starts[i]), int(ends[i])))
    return found
