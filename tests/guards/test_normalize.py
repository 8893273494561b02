"""Folding keeps track of every character."""

# ruff: noqa: RUF001 - look-alike characters are the subject

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.normalize import Normalizer

NORMALIZER = Normalizer()


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Harry POTTER", "harry potter"),
        ("H\u200ba\u00adr\u202er\u2060y", "harry"),
        ("ＨＡＲＲＹ", "harry"),
        ("𝓗𝓪𝓻𝓻𝔂", "harry"),
        ("Ηаrrу", "harry"),  # Greek eta, Cyrillic a and u
        ("Pötter Straße", "potter strasse"),
        ("po\u0308tter", "potter"),
        ("it’s “so”", 'it\'s "so"'),
        ("a\u00a0b\tc\u2028d", "a b c\nd"),
        ("🅷🅰🆁🆁🆈", "harry"),
        ("a\U000e0068b", "ab"),
        ("x\x00y", "xy"),
        ("\ud800", "\ufffd"),
    ],
)
def test_fold(text: str, folded: str) -> None:
    assert NORMALIZER.fold(text).text == folded


def test_positions_point_at_the_original() -> None:
    text = "ﷺ Ha\u200brry ßx"
    folded = NORMALIZER.fold(text)
    for word, letter in (("harry", "H"), ("ssx", "ß")):
        at = folded.text.index(word)
        assert text[int(folded.original(np.array([at]))[0])] == letter


@given(st.text(st.characters(), max_size=80))
def test_any_text(text: str) -> None:
    folded = NORMALIZER.fold(text)
    at = folded.original(np.arange(len(folded.text)))
    assert len(folded.text) == len(folded.codes) == len(folded.kinds)
    assert (np.diff(at) >= 0).all()
    assert not len(at) or (at[0] >= 0 and at[-1] < len(text))
    words, starts, ends = folded.words()
    assert [folded.text[a:b] for a, b in zip(starts, ends, strict=True)] == words
    view = NORMALIZER.view(folded)
    assert len(view.text) == len(view.origin)
    assert "  " not in view.text


@given(st.text(st.characters(categories=["L", "N"]), max_size=20))
def test_a_text_folds_as_its_characters(text: str) -> None:
    assert NORMALIZER.fold(text).text == "".join(NORMALIZER.fold(c).text for c in text)
