"""First words are looked up once for all indices, and the words themselves are not kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.blindindex import Digests, Item, index_of
from guards.heads import Begins
from guards.wording import Wording, counted

VALUES = (["lisbon"], ["silent", "harbor"], ["silent", "night", "walk"], ["silent"])
ITEM = Item((), True, (), "always")
ONE = index_of([(words, ITEM) for words in VALUES[:2]], b"1" * 32)
TWO = index_of([(words, ITEM) for words in VALUES[2:]], b"2" * 32)
SAME = index_of([(words, ITEM) for words in VALUES[:2]], b"2" * 32)
TEXTS = st.lists(
    st.sampled_from(
        ["lisbon", "silent", "harbor", "night", "walk", "l i s b o n", "s1lent", "bGlzYm9uIGF0IG5pZ2h0", "."]
    ),
    max_size=40,
).map(" ".join)


@given(TEXTS)
def test_the_same_items_are_found(text: str) -> None:
    together, alone = Wording([ONE, TWO, SAME]), Wording()
    for index in (ONE, TWO, SAME):
        assert counted(index, together.words([text])) == counted(index, alone.words([text]))


def test_every_index_has_its_own() -> None:
    heads = Begins([ONE, TWO]).of(["silent", "lisbon", "ordinary"])
    assert heads == {ONE.key: {"silent": 2, "lisbon": 1}, TWO.key: {"silent": 5}}


def test_a_word_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    head = Digests.head

    def counted_head(self: Digests, word: str) -> bytes:
        looked.append(word)
        return head(self, word)

    monkeypatch.setattr(Digests, "head", counted_head)
    wording = Wording([ONE, TWO])
    for _ in range(3):
        for index in (ONE, TWO):
            counted(index, wording.words(["ordinary words, ordinary words, lisbon"]))
    assert sorted(looked) == ["lisbon", "lisbon", "ordinary", "ordinary", "words", "words"]


def test_no_word_is_kept_and_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guards.heads._REMEMBERED", 10)
    begins = Begins([ONE])
    for number in range(35):
        begins.of([f"word{number}", "silent"])
        assert len(begins._found) <= 10
    assert not any(b"word" in kept or b"silent" in kept for kept in begins._found)
    assert begins.of(["silent"]) == {ONE.key: {"silent": 2}}
