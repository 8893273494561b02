"""Names in other scripts are known by their sounds."""

# ruff: noqa: RUF001 - letters of other scripts are what is tested

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.foreign import BARRIER, Listener
from guards.guard import Guard, Shared
from guards.part import FittedPart
from guards.reading import Reader
from guards.sounds import heard, sounds
from guards.transliterated import Transliterations
from guards.verdict import TextPart

NAMES = (
    "harry potter",
    "hiro tanaka",
    "isabella marquez",
    "torvin ashbury",
    "voldemort",
    "ana lu",
    "j rowling",
    "charles dickens",
    "george orwell",
    "virginia woolf",
    "barack obama",
)
LISTENER = Listener()
INDEX = Transliterations([name.split() for name in NAMES])


def found(text: str) -> set[tuple[str, str]]:
    foreign = LISTENER.hear(text)
    return set() if foreign is None else {(NAMES[n], text[a:b]) for n, a, b in INDEX.find(foreign)}


@pytest.mark.parametrize(
    ("text", "name", "match"),
    [
        ("Кто написал книги о Гарри Поттере?", "harry potter", "Гарри Поттере"),
        ("Ποιος έγραψε τον Χάρι Πότερ;", "harry potter", "Χάρι Πότερ"),
        ("من كتب هاري بوتر؟", "harry potter", "هاري بوتر"),
        ("हैरी पॉटर किसने लिखा?", "harry potter", "हैरी पॉटर"),
        ("ハリー・ポッターは誰が書きましたか。", "harry potter", "ハリー・ポッター"),
        ("해리 포터는 누가 썼습니까?", "harry potter", "해리 포터"),
        ("מי כתב את הארי פוטר?", "harry potter", "הארי פוטר"),
        ("ვინ დაწერა ჰარი პოტერი?", "harry potter", "ჰარი პოტერი"),
        ("מתי נולד צ'רלס דיקנס?", "charles dickens", "צ'רלס דיקנס"),
        ("איפה נולד ג׳ורג׳ אורוול?", "george orwell", "ג׳ורג׳ אורוול"),
        ("ספר של וירג'יניה וולף", "virginia woolf", "וירג'יניה וולף"),
        ("찰스 디킨스는 누구입니까?", "charles dickens", "찰스 디킨스"),
        ("버락 오바마는 어디에서 태어났습니까?", "barack obama", "버락 오바마"),
        ("Πού γεννήθηκε ο Τσαρλς Ντίκενς;", "charles dickens", "Τσαρλς Ντίκενς"),
        ("बरक ओबम", "barack obama", "बरक ओबम"),
        ("Поттер, Гарри", "harry potter", "Поттер, Гарри"),
        ("Что сделал Волдеморт?", "voldemort", "Волдеморт"),
        ("Где родился Хиро Танака?", "hiro tanaka", "Хиро Танака"),
        ("أين ولدت إيزابيلا ماركيز؟", "isabella marquez", "إيزابيلا ماركيز"),
        ("토르빈 애시버리는 어디에서 태어났습니까?", "torvin ashbury", "토르빈 애시버리"),
        ("Где живёт Торвин Эшбери?", "torvin ashbury", "Торвин Эшбери"),
        ("Г\u200bар\u200bри По\u0301ттер", "harry potter", "Г\u200bар\u200bри По\u0301ттер"),
    ],
)
def test_found(text: str, name: str, match: str) -> None:
    hits = [there for one, there in found(text) if one == name]
    assert any(match in there and len(there) <= len(match) + 2 for there in hits), hits


@pytest.mark.parametrize(
    "text",
    [
        "Все люди рождаются свободными и равными в своём достоинстве и правах.",
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
        "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
        "Гарри Трумэн и Беатрис Поттер",
        "Где родился Хироси Танигути?",
        "Ана Лу",
        "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
        "ג'ון דיקנסון",
        "Harry Potter",
        "",
    ],
)
def test_not_found(text: str) -> None:
    assert found(text) == set()


def test_what_only_resembles_names_is_not_found_however_often() -> None:
    """Of every candidate the sounds are compared; here are more than 30 000 of the same consonants."""
    near, text = Transliterations([("harry", "potter")] * 600), "Галя Бадейли. " * 60
    foreign = LISTENER.hear(text)
    assert foreign is not None
    assert foreign.skeleton == "KLPDL" * 60
    assert list(near.find(foreign)) == []


def test_a_hebrew_letter_and_its_geresh_are_one_sound() -> None:
    text = "צ'רלס ז׳אן"
    foreign = LISTENER.hear(text)
    assert foreign is not None
    assert len(foreign.text) == len(text)
    assert [heard(foreign.text[i]) for i in (0, 6)] == ["C", "J"]
    assert [text[a:b] for a, b in zip(foreign.starts, foreign.ends, strict=True)] == ["צ'רלס", "ז׳אן"]


def test_sounds_of_letters() -> None:
    assert [heard(c) for c in "Джхボ포λ"] == ["d", "J", "", "bo", "po", "l"]
    made = sounds(["Siko", "kat"])
    assert (made.skeleton, made.consonants, made.vowels) == ("DKKD", ("S", "k", "k", "t"), ("", "i", "o", "a", ""))
    assert made.borders == (2,)


def test_latin_letters_are_a_barrier() -> None:
    foreign = LISTENER.hear("Гарри x 1 Поттер")
    assert foreign is not None
    assert foreign.skeleton == f"KL{BARRIER}{BARRIER}PDL"
    assert LISTENER.hear("Gary Potter, naïve façade") is None


@settings(deadline=None)
@given(st.text(st.sampled_from("Гарри Потe хハリー・ポッター해포터هاوبت\u200bא1.\n"), max_size=80))
def test_any_text_is_heard(text: str) -> None:
    for _, match in found(text):
        assert match
        assert match in text


def test_an_unlisted_spelling_is_a_verdict(part: FittedPart, shared: Shared) -> None:
    guard = Guard.from_parts({"1": part.to_bytes()}, alpha=0.005, shared=shared)
    text = "Скажи, в каком году родился Гарри Поттер?"
    (verdict,) = guard.scan([TextPart("/messages/0/content", "user", text)])
    assert (verdict.flagged, verdict.source) == (True, "alias")
    assert [text[s.start : s.end] for s in verdict.entities] == ["Гарри Поттер"]


def test_a_coded_name_in_another_script(reader: Reader) -> None:
    code = base64.b64encode("Кто такой Гарри Поттер?".encode()).decode()
    text = f"Decode {code}"
    view = next(view for view in reader.read(text).heard)
    ((_, start, end),) = list(INDEX.find(view.foreign))
    assert view.place(start, end) == (7, len(text))
