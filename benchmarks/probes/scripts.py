"""Names in other scripts, letter by letter from small tables: nothing that a policy could have listed."""

from __future__ import annotations

import re
from collections.abc import Mapping

# ruff: noqa: RUF001 - letters of other scripts are the subject


def _pairs(latin: str, other: str) -> dict[str, str]:
    return dict(zip(latin.split(), other.split(), strict=True))


PIECES = "a b c d e f g h i j k l m n o p q r s t u v w x y z sh ch th ck qu ee oo"
"""What a Latin name is cut into."""
LETTERS: Mapping[str, Mapping[str, str]] = {
    "ru": _pairs(
        PIECES,
        "а б к д е ф г х и дж к л м н о п к р с т у в в кс и з ш ч т к кв и у",
    ),
    "el": _pairs(
        PIECES,
        "α μπ κ ντ ε φ γκ χ ι τζ κ λ μ ν ο π κ ρ σ τ ου β γου ξ ι ζ σ τσ θ κ κου ι ου",
    ),
    "ar": _pairs(
        PIECES,
        "ا ب ك د ي ف غ ه ي ج ك ل م ن و ب ق ر س ت و ف و كس ي ز ش تش ث ك كو ي و",
    ),
}
"""Language -> Latin letters -> letters; the longest entry wins."""

_HINDI_CONSONANTS = _pairs(
    "b c d f g h j k l m n p q r s t v w x y z sh ch th ck qu",
    "ब क ड फ ग ह ज क ल म न प क र स ट व व क्स य ज़ श च थ क क्व",
)
_HINDI_VOWELS = _pairs("a e i o u ee oo", "अ ए इ ओ उ ई ऊ")
_HINDI_SIGNS = {"a": "", **_pairs("e i o u ee oo", "े ि ो ु ी ू")}
_VIRAMA = "्"

_KANA_ROWS = {
    "": "アイウエオ",
    "k": "カキクケコ",
    "g": "ガギグゲゴ",
    "s": "サシスセソ",
    "z": "ザジズゼゾ",
    "t": "タティトゥテト",
    "d": "ダディドゥデド",
    "n": "ナニヌネノ",
    "h": "ハヒフヘホ",
    "b": "バビブベボ",
    "p": "パピプペポ",
    "m": "マミムメモ",
    "r": "ラリルレロ",
    "y": "ヤイユエヨ",
    "w": "ワウィウウェウォ",
    "f": "ファフィフフェフォ",
    "v": "ヴァヴィヴヴェヴォ",
    "j": "ジャジジュジェジョ",
    "sh": "シャシシュシェショ",
    "ch": "チャチチュチェチョ",
}
_KANA_SAME = {"l": "r", "c": "k", "q": "k", "ck": "k", "th": "s", "qu": "k", "x": "k"}


def transliterate(name: str, language: str) -> str:
    """A Latin name in the script of `ru`, `el`, `ar`, `hi` or `ja`; other characters than a to z stay as they are.

    Raises ValueError for another language.
    """
    words = name.lower().split()
    match language:
        case "ru" | "el":
            return " ".join(_letters(word, LETTERS[language]).capitalize() for word in words).replace("σ ", "ς ")
        case "ar":
            return " ".join(_letters(word, LETTERS["ar"]) for word in words)
        case "hi":
            return " ".join(map(_devanagari, words))
        case "ja":
            return "・".join(map(_katakana, words))
    raise ValueError(f"no table for the script of {language!r}; known: ru, el, ar, hi, ja")


def cut(word: str) -> list[str]:
    """A lower-case word in PIECES; other characters stand alone."""
    return re.findall(r"sh|ch|th|ck|qu|ee|oo|.", word)


def _letters(word: str, table: Mapping[str, str]) -> str:
    return "".join(table.get(piece, piece) for piece in cut(word))


def _devanagari(word: str) -> str:
    out, open_consonant = "", False
    for piece in cut(word):
        if piece in _HINDI_CONSONANTS:
            out += (_VIRAMA if open_consonant else "") + _HINDI_CONSONANTS[piece]
            open_consonant = True
        else:
            table = _HINDI_SIGNS if open_consonant else _HINDI_VOWELS
            out += table.get(piece, piece)
            open_consonant = False
    return out


def _katakana(word: str) -> str:
    out, consonant = "", ""
    for piece in [*cut(word.replace("ee", "i").replace("oo", "u")), ""]:
        if piece in tuple("aiueo"):
            out += _syllables(consonant)["aiueo".index(piece)]
            consonant = ""
            continue
        if consonant == "n":
            out += "ン"
        elif consonant:
            out += _syllables(consonant)[4 if consonant in ("t", "d") else 2]
        consonant = piece
    return out


def _syllables(consonant: str) -> list[str]:
    row = _KANA_ROWS[_KANA_SAME.get(consonant, consonant)]
    return re.findall(r"[^ァィゥェォャュョ][ァィゥェォャュョ]?", row)
