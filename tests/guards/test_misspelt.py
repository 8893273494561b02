"""Names are found with one or two edits, where hardly anything else looks like that."""

from __future__ import annotations

import pytest

from guards.aliases import AliasIndex, Match, Name
from guards.english import english_words
from guards.misspelt import Misspelt
from guards.normalize import Normalizer
from guards.respelt import respellings

NAMES = (
    "harry potter",
    "voldemort",
    "hogwarts",
    "tae ho park",
    "adib jarrah",
    "edward patrick sullivan",
    "the goblet of fire",
    "dementors",
    "deluminator",
    "bludgers",
    "ron lee",
    "diagon alley",
    "thestrals",
)
ORDINARY = frozenset({"henry", "carter", "park", "the", "fire", "five", "diagonal"})
NORMALIZER = Normalizer()
DICTIONARY = english_words()
INDEX = Misspelt([name.split() for name in NAMES], ORDINARY, DICTIONARY)


def spelt(text: str) -> list[Match]:
    names = [Name(0, at, "alias", at, name) for at, name in enumerate(FAMOUS)]
    view = NORMALIZER.view(NORMALIZER.fold(text))
    return AliasIndex(names, NORMALIZER, ORDINARY, DICTIONARY).find(view, view.text.split())


def found(text: str) -> set[tuple[str, str]]:
    words = text.split()
    return {(NAMES[number], " ".join(words[first:last])) for number, first, last, _ in INDEX.find(words)}


@pytest.mark.parametrize(
    ("text", "name", "match"),
    [
        ("who is hary potter then", "harry potter", "hary potter"),
        ("who is hary poter then", "harry potter", "hary poter"),
        ("who is harry jotter then", "harry potter", "harry jotter"),
        ("who is harry ptoetr then", "harry potter", "harry ptoetr"),
        ("harypotter", "harry potter", "harypotter"),
        ("hgowrats", "hogwarts", "hgowrats"),
        ("voldmrot", "voldemort", "voldmrot"),
        ("hvgwaxts", "hogwarts", "hvgwaxts"),
        ("voldimurt", "voldemort", "voldimurt"),
        ("is tae ho pakr here", "tae ho park", "tae ho pakr"),
        ("is tae ho paaark here", "tae ho park", "tae ho paaark"),
        ("adbi jarah", "adib jarrah", "adbi jarah"),
        ("edwrad ptarick sullivan", "edward patrick sullivan", "edwrad ptarick sullivan"),
        ("edward patrick sulivn", "edward patrick sullivan", "edward patrick sulivn"),
        ("the golbet of frie", "the goblet of fire", "the golbet of frie"),
        ("thistrels", "thestrals", "thistrels"),
        ("kas ir harijs poters", "harry potter", "harijs poters"),
    ],
)
def test_found(text: str, name: str, match: str) -> None:
    assert (name, match) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "harry potter",  # as it is spelt: for the index of exact names
        "harry met potter",
        "henry potter",
        "barry potter",
        "harry carter",
        "diagonally",
        "potter hary",
        "mentors and detectors",
        "the denominator of hogarth",
        "badgers eat burgers",
        "don lee",
        "tae ho flask",
        "thistrans",  # two words in one, as in code
        "hary",
        "",
    ],
)
def test_not_found(text: str) -> None:
    assert found(text) == set()


HARMLESS = (
    "where can i buy hairy pottery",
    "hurry putter",
    "did harry porter win the high jump",
    "harry patter was my neighbour",
    "joanna rowling teaches dance",
    "j k bowling alley",
    "the hairy potter",
    "porters and warts",
    "hogwash",
)
FAMOUS = ("Harry Potter", "J.K. Rowling", "Joanne Rowling", "Hogwarts", "The Boy Who Lived")


@pytest.mark.parametrize("text", HARMLESS)
def test_english_words_are_no_verdict(text: str) -> None:
    assert not {match.name.kind for match in spelt(text)} & {"alias"}


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("where can i buy hairy pottery", set()),
        ("hurry putter", set()),
        ("hogwash", set()),
        ("did harry porter win", {"related"}),
        ("harry petter", {"related"}),
        ("j k rowing", {"related"}),
        ("hary poter", {"alias"}),
        ("hurry potoer", {"alias"}),
        ("hary rotter", {"related"}),
        ("haryr ptoter", {"alias"}),
        ("harry potters", {"alias"}),
        ("hogwrats", {"alias"}),
        ("joanne rowlnig", {"alias"}),
    ],
)
def test_a_dictionary_word_beside_a_word_of_the_name_is_evidence(text: str, kinds: set[str]) -> None:
    assert {match.name.kind for match in spelt(text)} == kinds


def test_the_list_of_words() -> None:
    assert {"hairy", "pottery", "bowling", "putter", "porter", "hurry", "warts"} <= DICTIONARY
    assert not {"poter", "hary", "hogwrats", "", "\ufeffthe"} & DICTIONARY
    assert all(word == word.lower() for word in DICTIONARY)


def test_the_work_is_bounded_by_different_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand names share a word, and a text repeats it: every pair of neighbours is looked at once."""
    syllables = [a + b for a in "bdfgklmnpr" for b in "aeiou"]
    index = Misspelt([("harry", a + b) for a in syllables for b in syllables], frozenset())
    pairs: list[tuple[str, str]] = []
    beside, fits, tried = Misspelt._beside, Misspelt._fits, 0

    def counted(self: Misspelt, pair: tuple[str, str], likely: set[str]) -> list[tuple[int, int]]:
        pairs.append(pair)
        return beside(self, pair, likely)

    def counted_fits(self: Misspelt, *given: object) -> bool:
        nonlocal tried
        tried += 1
        return fits(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Misspelt, "_beside", counted)
    monkeypatch.setattr(Misspelt, "_fits", counted_fits)
    assert len(list(index.find(["harry", "stranger", "and", "others"] * 20_000))) == 0
    assert len(pairs) <= 8
    assert tried == 0


def test_names_are_respelt_by_their_sound() -> None:
    for name, spelt in (
        ("harry", "harijs"),
        ("potter", "poters"),
        ("virginia", "virdzinija"),
        ("woolf", "vulfa"),
        ("charles", "carless"),
        ("william", "viliams"),
        ("christie", "kristi"),
        ("george", "georgs"),
        ("jackson", "dzaksons"),
        ("shakespeare", "sakespears"),
        ("max", "makss"),
    ):
        assert spelt in respellings(name), (name, spelt)
    assert respellings("x1") == set()
    assert respellings("a") == set()
    assert len(respellings("jojojojojoxxchchchch")) < 2000
