"""Names are found in their usual spellings, and only as whole words."""

from __future__ import annotations

import pytest

from guards.aliases import AliasIndex, Name, variants
from guards.normalize import Normalizer

NORMALIZER = Normalizer()
NAMES = (
    "Harry Potter",
    "J.K. Rowling",
    "Hermione",
    "ハリー・ポッター",
    "HP",
    "O'Brien",
    "Voldemort",
    "4 Privet Drive",
    "헤르미온느",
)


@pytest.fixture(scope="module")
def index() -> AliasIndex:
    names = [Name(0, 0, "alias", i, text) for i, text in enumerate(NAMES)]
    return AliasIndex(names, NORMALIZER, frozenset({"porter", "pottery"}))


def found(index: AliasIndex, text: str) -> set[tuple[str, str]]:
    view = NORMALIZER.view(NORMALIZER.fold(text))
    return {
        (m.name.text, text[view.origin[m.start] : view.origin[m.end - 1] + 1])
        for m in index.find(view, view.text.split())
    }


@pytest.mark.parametrize(
    ("text", "name", "match"),
    [
        ("who is harry potter?", "Harry Potter", "harry potter"),
        ("Harry Potter's owl", "Harry Potter", "Harry Potter"),
        ("HARRY-POTTER", "Harry Potter", "HARRY-POTTER"),
        ("harry_potter.txt", "Harry Potter", "harry_potter"),
        ("#HarryPotter7", "Harry Potter", "HarryPotter"),
        ("Potter, Harry", "Harry Potter", "Potter, Harry"),
        ("two Harry Potters", "Harry Potter", "Harry Potters"),
        ("JK Rowling", "J.K. Rowling", "JK Rowling"),
        ("J. K. Rowling", "J.K. Rowling", "J. K. Rowling"),
        ("Rowling, J.K., 1997", "J.K. Rowling", "Rowling, J.K"),
        ("Rowling, JK", "J.K. Rowling", "Rowling, JK"),
        ("昔ハリーポッターを読んだ", "ハリー・ポッター", "ハリーポッター"),
        ("the HP.", "HP", "HP"),
        ("o’brien", "O'Brien", "o’brien"),  # noqa: RUF001
        ("Hary Potter", "Harry Potter", "Hary Potter"),
        ("Hary Poter", "Harry Potter", "Hary Poter"),
        ("Harry Jotter", "Harry Potter", "Harry Jotter"),
        ("Harijs Poters", "Harry Potter", "Harijs Poters"),
        ("J.K. Rowwling", "J.K. Rowling", "J.K. Rowwling"),
        ("헤르미온느는 누구", "헤르미온느", "헤르미온느"),
        ("Harry Pottre", "Harry Potter", "Harry Pottre"),
        ("Voldermort", "Voldemort", "Voldermort"),
        ("Hermoine", "Hermione", "Hermoine"),
        ("at 4 Privet Drive", "4 Privet Drive", "4 Privet Drive"),
    ],
)
def test_found(index: AliasIndex, text: str, name: str, match: str) -> None:
    assert (name, match) in found(index, text)


@pytest.mark.parametrize(
    "text",
    [
        "Beatrix Potter",
        "a potter",
        "php and https",
        "Harry Porter",
        "harry pottery",
        "Harriet Porter",
        "헤르미온늑",
        "",
    ],
)
def test_not_found(index: AliasIndex, text: str) -> None:
    assert found(index, text) == set()


def test_without_ordinary_words_no_name_is_misspelt() -> None:
    plain = AliasIndex([Name(0, 0, "alias", 0, "Harry Potter")], NORMALIZER)
    assert found(plain, "Harry Potter") == {("Harry Potter", "Harry Potter")}
    assert found(plain, "Hary Potter") == set()


def test_variants_have_no_punctuation() -> None:
    assert {"j k rowling", "jk rowling", "rowling jk", "rowling j k", "jkrowling"} <= variants(["j", "k", "rowling"])
    assert all(v.replace(" ", "").isalnum() for v in variants(["mary", "o", "neil"]))


def test_a_name_without_letters_is_refused() -> None:
    with pytest.raises(ValueError, match="no letter or digit"):
        AliasIndex([Name(0, 0, "alias", 0, "--")], NORMALIZER)


def test_no_names() -> None:
    assert found(AliasIndex([], NORMALIZER), "anything") == set()
