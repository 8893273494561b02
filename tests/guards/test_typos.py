"""The distance and the index agree with a plain search."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.deletions import LONGEST, MOST, Deletions
from guards.typos import Typos, edits

WORDS = st.text("abc", min_size=1, max_size=6)
LETTERS = "abcd"


def one_edit(word: str) -> set[str]:
    """Every word that one edit makes."""
    made = {word[:i] + word[i + 1 :] for i in range(len(word))}
    made |= {word[:i] + c + word[i:] for i in range(len(word) + 1) for c in LETTERS}
    made |= {word[:i] + c + word[i + 1 :] for i in range(len(word)) for c in LETTERS}
    return made | {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}


@given(WORDS, WORDS)
def test_edits(a: str, b: str) -> None:
    once = one_edit(a) | {a}
    twice = {w for word in once for w in one_edit(word)}
    expected = 0 if a == b else 1 if b in once else 2 if b in twice else 3
    assert edits(a, b, MOST) == expected


@given(st.text(LETTERS, min_size=6, max_size=9), st.text(LETTERS, min_size=4, max_size=10))
def test_every_near_word_is_found(name: str, word: str) -> None:
    typos = Typos([name])
    near = 0 < edits(word, name, MOST) <= MOST
    assert typos.near(word) == (((name, edits(word, name, MOST)),) if near else ())
    assert typos.likely({word, *(f"other{i}" for i in range(20))}) == ({word} if near else set())


@given(st.lists(st.text(LETTERS, min_size=3, max_size=8), max_size=6), st.text(LETTERS, min_size=3, max_size=8))
def test_the_quick_test_never_says_no_wrongly(words: list[str], word: str) -> None:
    index = Deletions(words)
    near = {w for w in words if edits(w, word, MOST) <= MOST}
    assert near <= index.sharing(word)
    assert not near or index.likely([word]) == {word}


def test_the_first_letter_of_short_words_must_be_right() -> None:
    assert Typos(["harry"]).near("barry") == ()
    assert Typos(["potter"]).near("jotter") == (("potter", 1),)


def test_long_and_odd_words() -> None:
    index = Typos(["potter", "a" * (LONGEST + 1), "x1y2z3", "기억하다"])
    assert index.near("a" * LONGEST) == ()
    assert index.near("") == ()
    assert index.near("p\ud800tter") == (("potter", 1),)
    assert index.near("x1y2z") == ()


def test_hardly_any_word_is_looked_up_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    near = Typos.near

    def counted(self: Typos, word: str) -> tuple[tuple[str, int], ...]:
        looked.append(word)
        return near(self, word)

    monkeypatch.setattr(Typos, "near", counted)
    syllables = ["".join((a, b)) for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = {a + b + c for a in syllables for b in syllables for c in syllables[:8]}
    assert len(words) > 39_000
    assert Typos(["harry", "potter", "dumbledore"]).likely(words) <= set(looked)
    assert len(looked) < len(words) / 20
