"""An answer that is read while it comes: nothing leaves that a value can begin in, and nothing is found by halves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.blindindex import Item, canonical, index_of
from guards.normalize import Normalizer
from guards.output import MOST_HELD, OutputGuard
from guards.verdict import TextPart, Verdict

KEY, NUMBER = b"k" * 32, "100001"
NORMALIZER = Normalizer()
NAME, BOOK = Item((0,), True, (0,), "always"), Item((0,), False, (), "never")
CITY, CODEX = Item((), True, (0,), "never"), Item((), True, (0,), "always")
ENTRIES = [
    (["orla", "quistmere"], NAME),
    (["silent", "harbor"], BOOK),
    (["lisbon"], CITY),
    (["quistian", "codex"], CODEX),
    (canonical("ハリー", NORMALIZER), CODEX),
]
BOOKS = [(["silent", "harbor"], BOOK)]
BY_BOOK = "Where was the author of Silent Harbor born?"


@pytest.fixture(scope="module")
def guard() -> OutputGuard:
    return OutputGuard({NUMBER: index_of(ENTRIES, KEY)})


def followed(
    guard: OutputGuard, question: str, pieces: Sequence[str], verdicts: dict[str, Verdict] | None = None
) -> tuple[int, str | None]:
    """Characters that were safe before the first finding (or at the end), and the rule of the finding."""
    parts = [TextPart("/messages/0/content", "user", question)]
    following = guard.follow(parts, verdicts or {}, [NUMBER])
    safe = 0
    for piece in pieces:
        (finding,) = following.read(piece)
        if finding.told:
            return safe, finding.rule
        assert following.safe >= safe
        safe = following.safe
    return safe, None


def by_word(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


PAD = "some harmless words that go on and on as answers do until there is nothing more to be said of them"


@pytest.mark.parametrize("pieces", [list, by_word], ids=["letters", "words"])
@pytest.mark.parametrize(
    ("question", "told", "rule"),
    [
        (BY_BOOK, "Lisbon", "pair"),
        ("Which writer?", "the Quistian Codex", "alone"),
        ("Which writer?", "Q u i s t i a n C o d e x", "alone"),
        ("Which writer?", "UXVpc3RpYW4gQ29kZXggaXMgdGhlIG5hbWUgb2YgdGhlIGJvb2sgdGhhdCB5b3Ugd2FudA==", "alone"),
        ("Which writer?", "Оrla Qu1stmеre", "alone"),  # noqa: RUF001 - Cyrillic
        ("Which writer?", "Q\u200bu\u200bi\u200bs\u200bt\u200bi\u200ba\u200bn Codex", "alone"),
        ("誰?", "それはハリーです。それはハリーです。それはハリーです。", "alone"),
    ],
)
def test_no_value_begins_in_what_is_safe(guard: OutputGuard, question: str, told: str, rule: str, pieces: type) -> None:
    text = f"{PAD} {told} {PAD}"
    safe, found = followed(guard, question, pieces(text))
    assert found == rule
    assert 0 < safe <= text.index(told) + (3 if "ハリー" in told else 0)
    assert text[:safe] == "" or text[safe - 1].isspace()
    assert guard.scan([], [text[:safe]], {}, [NUMBER])[0].told is False


def test_a_subject_behind_its_value_does_not_leave(guard: OutputGuard) -> None:
    text = f"Lisbon is where it began, {PAD}, {PAD}, for Orla Quistmere"
    safe, rule = followed(guard, "Which writer?", by_word(f"{text} {PAD}"))
    assert rule == "pair"
    assert text.index("Lisbon") < safe <= text.index("Orla")


def test_harmless_answers_leave_but_for_the_last_words(guard: OutputGuard) -> None:
    text = f"{PAD} {PAD} {PAD}"
    safe, rule = followed(guard, BY_BOOK, by_word(text))
    assert rule is None
    longest = index_of(ENTRIES, KEY).longest
    assert len("orlaquistmere") <= longest <= len("orlaquistmere") + 3  # written apart, with a plural or genitive
    assert len(text[safe:].split()) == longest


def test_as_many_words_are_held_for_every_question(guard: OutputGuard) -> None:
    texts = (PAD * 3, PAD.replace("words", "quistian") * 3)  # how a value begins is no reason to wait
    held = [
        [len(t.split()) - len(t[: followed(guard, q, by_word(t))[0]].split()) for t in texts] for q in ("a", BY_BOOK)
    ]
    assert len({number for row in held for number in row}) == 1


def test_the_hold_has_a_bound() -> None:
    long = OutputGuard({NUMBER: index_of([(["x" * 60], CODEX), (["a"] * 24, CODEX)], KEY)})
    text = " ".join(["word"] * 100)
    safe, _ = followed(long, "?", by_word(text))
    assert len(text[safe:].split()) == MOST_HELD


def test_a_word_that_still_grows_is_no_value(guard: OutputGuard) -> None:
    assert followed(guard, BY_BOOK, ["In Lis", "bon", "ne, ", "that is. "])[1] is None
    assert followed(guard, BY_BOOK, ["In Lis", "bon", ". ", "That is. "])[1] == "pair"


def test_the_border_of_request_and_answer(guard: OutputGuard) -> None:
    parts = [TextPart("/messages/0/content", "user", BY_BOOK), TextPart("/messages/1/content", "assistant", "In Lis")]
    following = guard.follow(parts, {}, [NUMBER])
    assert following.read("bon, ")[0].told


def test_a_doubtful_question(guard: OutputGuard) -> None:
    rare = OutputGuard({NUMBER: index_of([(["zanthorpe"], Item((), True, (0,), "doubtful"))], KEY)})
    for p_value, rule in ((0.2, None), (0.01, "doubtful")):
        verdicts = {NUMBER: Verdict(NUMBER, False, 0.1, p_value, "none")}
        assert followed(rare, "Which town?", by_word("It is Zanthorpe, they say."), verdicts)[1] == rule


def test_what_cannot_be_read_is_held(guard: OutputGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guards.following.MOST", 300)
    assert followed(guard, BY_BOOK, ["." * 50] * 20) == (0, None)  # no words: nothing says how much may leave
    monkeypatch.setattr("guards.reading.LONGEST", 40)
    assert followed(guard, BY_BOOK, ["a " * 15, "b " * 30, "c "])[0] == followed(guard, BY_BOOK, ["a " * 15])[0]


WORDS = st.sampled_from(
    ["Lisbon", "Quistian", "Codex", "codex,", "Orla", "Quistmere's", "Silent", "rain", "a", "日本", "-"]
)
SPACES = st.sampled_from([" ", "  ", "\n", " - ", ""])


@given(st.lists(st.tuples(WORDS, SPACES), max_size=60), st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_what_is_safe_never_tells(pieces: list[tuple[str, str]], sizes: list[int]) -> None:
    guard = OutputGuard({NUMBER: index_of([(["lisbon"], CITY), (["quistian", "codex"], CODEX), *BOOKS], KEY)})
    text = "".join(part for pair in pieces for part in pair)
    asked = [TextPart("/messages/0/content", "user", BY_BOOK)]
    following = guard.follow(asked, {}, [NUMBER])
    at = safe = 0
    for size in sizes * (len(text) // len(sizes) + 1):
        if at >= len(text) or following.read(text[at : at + size])[0].told:
            break
        at, safe = at + size, following.safe
    assert not guard.scan(asked, [text[:safe]], {}, [NUMBER])[0].told
    assert safe <= at


def test_policies_follow_alone(guard: OutputGuard) -> None:
    with pytest.raises(KeyError):
        guard.follow([], {}, ["100002"])
