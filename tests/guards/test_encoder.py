"""The word-wise encoder equals the library's own."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.encoder import Encoder, WordLlamaEncoder, load_encoder
from guards.reading import Reader

WORDS = st.lists(
    st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12), min_size=1, max_size=30
)


@pytest.fixture(scope="module")
def library() -> object:
    level = logging.getLogger().level
    import wordllama

    logging.getLogger().setLevel(level)  # the package configures the root logger on import
    folder = str(Path(wordllama.__file__).parent)
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)


@settings(deadline=None, max_examples=60)
@given(words=WORDS)
def test_parity(reader: Reader, library: object, words: list[str]) -> None:
    words = [w for w in words if not any(c.isspace() for c in w)] or ["a"]
    expected = library.embed([" ".join(words)], norm=True)[0]  # type: ignore[attr-defined]
    read = reader.encoder.read(words)
    got = read.vectors(np.array([0]), np.array([len(words)]))[0]
    assert np.allclose(got, expected, atol=1e-5)
    assert read.tokens.sum() == len(library.tokenizer.encode(" ".join(words), add_special_tokens=False).ids)  # type: ignore[attr-defined]


def test_ranges_across_chunks_and_replaced_tables(reader: Reader) -> None:
    small = WordLlamaEncoder(capacity=1)
    small.chunk = 16
    small._capacity = 16
    words = [f"word{i}" for i in range(100)]
    first, last = np.array([0, 10, 15, 40]), np.array([100, 20, 17, 41])
    expected = reader.encoder.read(words).vectors(first, last)
    assert np.allclose(small.read(words).vectors(first, last), expected, atol=1e-5)
    assert len(small._rows.index) <= 16


def test_long_words_are_cut_and_not_lost(reader: Reader) -> None:
    read = reader.encoder.read(["x" * 10_000])
    assert read.tokens[0] > 100
    assert np.isclose(np.linalg.norm(read.vectors(np.array([0]), np.array([1]))), 1)


def test_no_words(reader: Reader) -> None:
    empty = np.zeros(0, np.int64)
    assert reader.encoder.read([]).vectors(empty, empty).shape == (0, 256)


def test_registry() -> None:
    with pytest.raises(ValueError, match="unknown encoder 'x'; known: wordllama"):
        load_encoder("x")


def test_vocabulary_and_fingerprint(reader: Reader) -> None:
    encoder: Encoder = reader.encoder
    assert {"school", "water"} <= encoder.vocabulary
    assert encoder.fingerprint.startswith("wordllama 0.4.0")
