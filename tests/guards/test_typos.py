"""The distance and the index agree with a plain dynamic programme."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guards.typos import Typos, within_one

WORDS = st.text("abc", min_size=1, max_size=7)


def distance(a: str, b: str) -> int:
    """Optimal string alignment distance."""
    d = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            d[i][j] = min(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                d[i][j] = min(d[i][j], d[i - 2][j - 2] + 1)
    return d[-1][-1]


@given(WORDS, WORDS)
def test_within_one(a: str, b: str) -> None:
    assert within_one(a, b) == (distance(a, b) <= 1)


@given(st.text("abcd", min_size=5, max_size=8), st.text("abcd", min_size=4, max_size=9))
def test_every_near_word_with_the_same_initial_is_found(name: str, word: str) -> None:
    found = Typos([name], frozenset({name})).fixes([word])
    near = word != name and word[0] == name[0] and distance(word, name) <= 1
    assert found == ({word: (name,)} if near else {})


def test_ordinary_words_are_no_typos() -> None:
    assert Typos(["potter"], frozenset({"porter"})).fixes(["porter", "poter"]) == {"poter": ("potter",)}
