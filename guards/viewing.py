"""The encoder of a reader from which only the views are wanted, as an output guard does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guards.encoder import Floats
from guards.normalize import Ints


class ViewsOnly:
    """An `Encoder` that knows no word: the windows of a text have no vectors, and nothing is loaded."""

    dim = 0
    fingerprint = "views only"
    vocabulary: frozenset[str] = frozenset()

    def read(self, words: Sequence[str]) -> Unencoded:
        """Count every word as one token."""
        return Unencoded(np.ones(len(words), np.int64))


@dataclass(frozen=True, slots=True)
class Unencoded:
    """Words without vectors; `tokens`: one for each."""

    tokens: Ints

    def vectors(self, first: Ints, last: Ints) -> Floats:
        """Vectors without a dimension, `[ranges, 0]`."""
        return np.zeros((len(first), 0), np.float32)
