"""Which words of a window must go."""

from __future__ import annotations

import numpy as np
import pytest

from guards.encoder import Floats
from guards.reading import Reader
from guards.telling import MOST, telling


def toward(reader: Reader, word: str) -> Floats:
    """The direction of a word."""
    return reader.encoder.read([word]).vectors(np.array([0]), np.array([1]))[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("please wash the bicycle today", ["bicycle"]),
        ("Wash the BICYCLE, please", ["BICYCLE,"]),
        ("bicycle bicycle", ["bicycle bicycle"]),
        ("wash the car", []),
    ],
)
def test_the_words_that_a_direction_is_about(reader: Reader, text: str, told: list[str]) -> None:
    direction = toward(reader, "bicycle")
    found = telling(text, reader.encoder, reader.normalizer, lambda vectors: vectors @ direction, 0.6)
    assert [text[a:b] for a, b in found] == told


def test_a_window_that_cannot_be_mended_goes_whole(reader: Reader) -> None:
    text = "one two three"
    found = telling(text, reader.encoder, reader.normalizer, lambda vectors: np.ones(len(vectors), np.float32), 0.5)
    assert found == [(0, len(text))]


def test_a_long_window_goes_whole(reader: Reader) -> None:
    text = "word " * (MOST + 1)
    found = telling(text, reader.encoder, reader.normalizer, lambda vectors: np.zeros(len(vectors), np.float32), 0.5)
    assert found == [(0, len(text))]
