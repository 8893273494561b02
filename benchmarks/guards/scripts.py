"""Class B: the name in another script or respelt, letter by letter from small tables, in questions of that language.

Russian, Greek, Arabic, Hindi and Japanese come from `benchmarks.probes`; Ukrainian, Hebrew, Korean, Georgian and
Latvian (Latin letters, but names are respelt and inflected) are here.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from benchmarks.guards.case import Item
from benchmarks.probes.languages import OTHER_SCRIPTS
from benchmarks.probes.scripts import PIECES, cut
from benchmarks.probes.scripts import transliterate as known

# ruff: noqa: RUF001 - letters of other scripts are the subject


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_LATIN = _words(PIECES)
_TABLES: Mapping[str, Mapping[str, str]] = {
    "uk": dict(
        zip(_LATIN, _words("а б к д е ф ґ г і дж к л м н о п к р с т у в в кс и з ш ч т к кв і у"), strict=True)
    ),
    "he": dict(
        zip(_LATIN, _words("א ב ק ד _ פ ג ה י ג' ק ל מ נ ו פ ק ר ס ט ו ו ו קס י ז ש צ' ת' ק קו י ו"), strict=True)
    ),
    "ka": dict(zip(_LATIN, _words("ა ბ კ დ ე ფ გ ჰ ი ჯ კ ლ მ ნ ო პ კ რ ს ტ უ ვ ვ ქს ი ზ შ ჩ თ კ კვ ი უ"), strict=True)),
    "lv": dict(
        zip(_LATIN, _words("a b k d e f g h i dž k l m n o p k r s t u v v ks i z š č t k kv ī ū"), strict=True)
    ),
}
_FINAL = str.maketrans("מנפצכ", "םןףץך")
_KO_FIRST = dict(
    zip(_words("g n d r m b s ' j ch k t p h"), (0, 2, 3, 5, 6, 7, 9, 11, 12, 14, 15, 16, 17, 18), strict=True)
)
_KO_SAME = {
    "l": "r",
    "c": "k",
    "q": "k",
    "ck": "k",
    "qu": "k",
    "x": "k",
    "f": "p",
    "v": "b",
    "z": "j",
    "sh": "s",
    "th": "s",
}
_KO_VOWEL = {"a": 0, "e": 5, "i": 20, "o": 8, "u": 13, "ee": 20, "oo": 13, "y": 20, "w": 13}
_KO_LAST = {"n": 4, "m": 16, "l": 8, "b": 17, "p": 17, "k": 1, "g": 1, "ck": 1}
_KO_FILLER = 18

QUESTIONS: Mapping[str, Sequence[str]] = {
    **{language: tuple(asked.values()) for language, asked in OTHER_SCRIPTS.items()},
    "uk": (
        "Де народився {n}?",
        "Якого року народився {n}?",
        "У якому жанрі пише {n}?",
        "Яку премію отримав {n}?",
        "Ким за фахом був батько письменника на ім'я {n}?",
        "Якою книгою відомий {n}?",
    ),
    "he": (
        "איפה נולד {n}?",
        "באיזו שנה נולד {n}?",
        "באיזה ז'אנר כותב {n}?",
        "באיזה פרס זכה {n}?",
        "מה היה המקצוע של אביו של {n}?",
        "מהו הספר הידוע ביותר של {n}?",
    ),
    "ko": (
        "{n}은 어디에서 태어났습니까?",
        "{n}은 몇 년에 태어났습니까?",
        "{n}은 어떤 장르의 글을 씁니까?",
        "{n}은 어떤 상을 받았습니까?",
        "{n}의 아버지의 직업은 무엇이었습니까?",
        "{n}의 가장 유명한 책은 무엇입니까?",
    ),
    "ka": (
        "სად დაიბადა {n}?",
        "რომელ წელს დაიბადა {n}?",
        "რა ჟანრში წერს {n}?",
        "რა ჯილდო მიიღო {n}?",
        "რა პროფესიის იყო მწერლის მამა, რომელსაც {n} ჰქვია?",
        "რომელი წიგნით არის ცნობილი {n}?",
    ),
    "lv": (
        "Kur dzimis {n}?",
        "Kurā gadā dzimis {n}?",
        "Kādā žanrā raksta {n}?",
        "Kādu balvu saņēmis {n}?",
        "Kāda profesija bija tēvam, kura bērns ir {n}?",
        "Ar kuru grāmatu ir pazīstams {n}?",
    ),
}
"""Language -> questions about {n}."""
PER_AUTHOR = 12
"""Requests per author and language: all questions of the language, then English ones with the name in that script."""


def respelt(name: str, language: str) -> str:
    """A Latin name as the language writes it, by rule. Raises `ValueError` for a language without a table."""
    if language in OTHER_SCRIPTS:
        return known(name.replace("-", " ") if language == "ja" else name, language)
    words = name.lower().split()
    if language == "ko":
        return " ".join("".join(_hangul(part) for part in word.split("-")) for word in words)
    if language not in _TABLES:
        raise ValueError(f"no table for {language!r}; known: {', '.join(QUESTIONS)}")
    letters = ["".join(_TABLES[language].get(p, p) for p in cut(word)).replace("_", "") for word in words]
    if language == "he":
        return " ".join(word[:-1] + word[-1:].translate(_FINAL) for word in letters)
    if language == "lv":
        return " ".join(_capital(word if word[-1] in "aeiīoūu" else f"{word}s") for word in letters)
    return " ".join(_capital(word) for word in letters)


def in_script(language: str, items: Sequence[Item]) -> list[tuple[Item, str]]:
    """Requests about one author in one language; `items` are that author's, with the name in them."""
    name = respelt(items[0].name, language)
    draw = random.Random(f"{language}/{items[0].cluster}")
    asked = [(items[0], question.format(n=name)) for question in QUESTIONS[language]][:PER_AUTHOR]
    english = draw.sample(list(items), min(len(items), PER_AUTHOR - len(asked)))
    return asked + [(item, item.text.replace(item.name, name)) for item in english]


def _capital(word: str) -> str:
    return "-".join(part[:1].upper() + part[1:] for part in word.split("-")) if word.isascii() or word < "א" else word


def _hangul(word: str) -> str:
    """Syllable blocks by Unicode's composition rule (The Unicode Standard, section 3.12)."""
    pieces = [piece for piece in cut(word) if piece[0].isalpha()]
    blocks: list[list[int]] = []
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        following = pieces[at + 1] if at + 1 < len(pieces) else ""
        if piece in _KO_VOWEL and not (piece in "yw" and following in _KO_VOWEL):
            blocks.append([_KO_FIRST["'"], _KO_VOWEL[piece], 0])
        elif piece in "yw":
            pass
        elif following in _KO_VOWEL:
            if piece == "l" and blocks and not blocks[-1][2]:
                blocks[-1][2] = _KO_LAST["l"]
            blocks.append([_first(piece), _KO_VOWEL[following], 0])
            at += 1
        elif piece in _KO_LAST and blocks and not blocks[-1][2] and blocks[-1][1] != _KO_FILLER:
            blocks[-1][2] = _KO_LAST[piece]
        elif piece != "r":
            blocks.append([_first(piece), _KO_FILLER, 0])
        at += 1
    return "".join(chr(0xAC00 + (first * 21 + vowel) * 28 + last) for first, vowel, last in blocks)


def _first(piece: str) -> int:
    return _KO_FIRST[_KO_SAME.get(piece, piece)]
