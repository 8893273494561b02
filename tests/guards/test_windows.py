"""Windows cover everything and leave no gap."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from guards.normalize import Normalizer
from guards.windows import SIZE, STEP, WHOLE, sentence_ends, windows

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=120)


@given(LENGTHS, st.data())
def test_cover_and_no_gap(lengths: list[int], data: st.DataObject) -> None:
    tokens = np.array(lengths)
    ends = np.array(data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths))))
    ends[-1] = True
    first, last = windows(tokens, ends)
    assert (first < last).all()
    assert first.min() == 0
    assert last.max() == len(tokens)
    ranges = set(zip(first.tolist(), last.tolist(), strict=True))
    assert len(ranges) == len(first)
    before = np.concatenate([[0], np.cumsum(tokens)])
    start = data.draw(st.integers(0, len(lengths) - 1))
    for stop in range(start + 1, len(lengths) + 1):
        if before[stop] - before[start] <= SIZE - STEP:
            assert any(a <= start and stop <= b for a, b in ranges)


@given(LENGTHS)
def test_whole_text_if_short(lengths: list[int]) -> None:
    tokens = np.array(lengths)
    ends = np.zeros(len(tokens), bool)
    ends[-1] = True
    first, last = windows(tokens, ends)
    whole = (0, len(tokens)) in set(zip(first.tolist(), last.tolist(), strict=True))
    assert whole or tokens.sum() > WHOLE


def test_number_of_windows_is_linear() -> None:
    tokens = np.ones(100_000, np.int64)
    ends = np.zeros(len(tokens), bool)
    ends[-1] = True
    assert len(windows(tokens, ends)[0]) == (100_000 - SIZE) // STEP + 1


def test_nothing() -> None:
    assert len(windows(np.zeros(0, np.int64), np.zeros(0, bool))[0]) == 0


def test_sentences() -> None:
    folded = Normalizer().fold('\nWho? "He." said\nno one (really!) now')
    words, starts, ends = folded.words()
    done = sentence_ends(folded.codes, starts, ends)
    assert [w for w, d in zip(words, done, strict=True) if d] == ["who?", '"he."', "said", "(really!)", "now"]
