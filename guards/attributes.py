"""Attributes: what a policy says of its subjects, by which they can be described without a name.

"Which writer from Kuwait City, the child of a florist, writes on leadership?" names nobody, but holds three things that
the policy says of one person. An attribute is a word with a weight; a window is worth the sum of the weights of its
different attributes of one subject, of the subject for which that is most. How much is enough is for the policy's
neighbours and the calibration to say, as for the linear model. `guards.surprise` says where the weights come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guards.encoder import Floats
from guards.normalize import Bools, Ints
from guards.reading import Reading


@dataclass(frozen=True, slots=True)
class Described:
    """Attributes in a text.

    Attributes:
        index: whose attributes they are.
        windows, policies, scores: for every window and policy with any of its attributes, the sum of the weights of the
            different ones, of the subject for which it is most.
        rows, starts, ends: of every place of an attribute, its number and its characters `[start, end)`.
        held_in, places: pairs of a window and a place in it.
    """

    index: Attributes
    windows: Ints
    policies: Ints
    scores: Floats
    rows: Ints
    starts: Ints
    ends: Ints
    held_in: Ints
    places: Ints

    def best(self) -> Floats:
        """Largest score of any window, `[policies]`; 0 without attributes."""
        best = np.zeros(self.index.policies, np.float32)
        np.maximum.at(best, self.policies, self.scores)
        return best

    def hits(self, floors: Floats) -> dict[int, list[tuple[float, int, int]]]:
        """Attributes `(score, start, end)` by policy, in windows with a score of at least `floors`.

        The score is the largest one of the windows that hold the attribute.
        """
        found = {}
        for policy in np.unique(self.policies[self.scores >= floors[self.policies]]).tolist():
            own = self.policies == policy
            scores = np.zeros(int(self.windows.max()) + 1, np.float32)
            scores[self.windows[own]] = self.scores[own]
            kept = self.held_in <= self.windows.max()
            value = np.zeros(len(self.rows), np.float32)
            np.maximum.at(value, self.places[kept], scores[self.held_in[kept]])
            at = np.flatnonzero(self.index.owned(policy)[self.rows] & (value >= floors[policy]) & (value > 0))
            spans = zip(value[at].tolist(), self.starts[at].tolist(), self.ends[at].tolist(), strict=True)
            found[policy] = sorted(set(spans))
        return found


class Attributes:
    """Attributes of all policies, looked up at once. Reading is thread-safe."""

    def __init__(self, weights: Sequence[Sequence[Mapping[str, float]]]) -> None:
        """`weights` of the subjects of each policy, by word in the singular."""
        subjects = [subject for policy in weights for subject in policy]
        listed = sorted({word for subject in subjects for word in subject})
        number = {word: row for row, word in enumerate(listed)}
        pairs = sorted(
            (number[word], place, weight) for place, subject in enumerate(subjects) for word, weight in subject.items()
        )
        self.policies = len(weights)
        self._policy = np.repeat(np.arange(len(weights)), [len(policy) for policy in weights])
        self._of = np.array([place for _, place, _ in pairs], np.int64)
        self._weights = np.array([weight for _, _, weight in pairs], np.float32)
        self._pointer = np.searchsorted([row for row, _, _ in pairs], np.arange(len(listed) + 1))
        self._rows = {f"{word}s": row for word, row in number.items()} | number

    def owned(self, policy: int) -> Bools:
        """Which attributes a policy has."""
        owned = np.zeros(len(self._pointer) - 1, bool)
        at = np.flatnonzero(self._policy[self._of] == policy)
        owned[np.searchsorted(self._pointer, at, "right") - 1] = True
        return owned

    def find(self, reading: Reading, chosen: Ints) -> Described:
        """Attributes in the windows of a text that are chosen."""
        rows, starts, ends = self._places(reading)
        low = np.searchsorted(starts, reading.starts[chosen], "left")
        held_in, places = _ranges(low, np.searchsorted(starts, reading.ends[chosen], "left"))
        # who repeats a word says nothing new: each attribute of a window counts once
        count = max(len(self._pointer) - 1, 1)
        windows, different = np.divmod(np.unique(held_in * count + rows[places]), count)
        pair, at = _ranges(self._pointer[different], self._pointer[different + 1])
        key, sums = _reduced(np.add, windows[pair] * max(len(self._policy), 1) + self._of[at], self._weights[at])
        windows, subjects = np.divmod(key, max(len(self._policy), 1))
        key, scores = _reduced(np.maximum, windows * max(self.policies, 1) + self._policy[subjects], sums)
        windows, policies = np.divmod(key, max(self.policies, 1))
        return Described(self, windows, policies, scores, rows, starts, ends, held_in, places)

    def best(self, readings: Sequence[Reading]) -> Floats:
        """Score of the best window of each text, `[texts, policies]`."""
        best = np.zeros((len(readings), self.policies), np.float32)
        for row, reading in enumerate(readings):
            best[row] = self.find(reading, np.arange(len(reading.starts))).best()
        return best

    def _places(self, reading: Reading) -> tuple[Ints, Ints, Ints]:
        """Rows of the attributes in a text and the characters `[start, end)` of each, by start."""
        found = [np.zeros((3, 0), np.int64)]
        for view in reading.views if self._rows else ():
            rows = np.array([self._rows.get(word, -1) for word in view.words], np.int64)
            at = np.flatnonzero(rows >= 0)
            if len(at):
                last = np.cumsum([len(word) + 1 for word in view.words]) - 2
                first = np.concatenate([[0], last[:-1] + 2])
                a, b, c, d = (side[i[at]] for side in (view.starts, view.ends) for i in (first, last))
                found.append(np.stack([rows[at], np.minimum(a, b), np.maximum(c, d)]))
        places = np.concatenate(found, axis=1)
        rows, starts, ends = places[:, np.argsort(places[1], kind="stable")]
        return rows, starts, ends


def raised(scores: Floats, described: Floats) -> Floats:
    """Scores of the linear models, or of attributes where there are any and they say more."""
    return np.where(described > 0, np.maximum(scores, described), scores)


def _ranges(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """All members of ranges `[low, high)`, with the number of the range of each."""
    size = np.maximum(high - low, 0)
    of = np.repeat(np.arange(len(low)), size)
    return of, np.arange(len(of)) - np.repeat(np.cumsum(size) - size - low, size)


def _reduced(how: np.ufunc, key: Ints, values: Floats) -> tuple[Ints, Floats]:
    """Different keys in order, and the values of each put together."""
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    if not len(starts):
        return key, values
    return key[order][starts], how.reduceat(values[order], starts)
