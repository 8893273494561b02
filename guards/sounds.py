"""How a Latin name sounds when it is written in another script, and how letters of other scripts sound.

A name in another script keeps its consonants and little else: vowels are left out (Arabic, Hebrew) or put in (Japanese,
Korean), doubled letters are single, some sounds do not exist (no p in Arabic, no l in Japanese). So names and texts
become strings over one small alphabet of sounds, and are compared by their skeletons, the consonants in five groups.

Sounds: `aeiou` vowels; `pbfv`, `tdTszSCJ` (T as in thin, S as in ship, C as in chip, J as in jam), `kg`, `lr`, `nm`.
Letters of other scripts are read by the tables of anyascii.
"""

# ruff: noqa: RUF001 - letters of other scripts are what this file is about

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from anyascii import anyascii

VOWELS = "aeiou"
GROUPS: Mapping[str, str] = {
    s: g for g, sounds in zip("PDKLN", ("pbfv", "tdTszSCJ", "kg", "lr", "nm"), strict=True) for s in sounds
}
"""Consonant -> its group."""

_SCRIPTS = (
    ("greek", 0x0370, 0x03FF),
    ("cyrillic", 0x0400, 0x052F),
    ("armenian", 0x0530, 0x058F),
    ("hebrew", 0x0590, 0x05FF),
    ("arabic", 0x0600, 0x077F),
    ("indic", 0x0900, 0x0DFF),
    ("thai", 0x0E00, 0x0EFF),
    ("georgian", 0x10A0, 0x10FF),
    ("hangul", 0x1100, 0x11FF),
    ("greek", 0x1F00, 0x1FFF),
    ("hiragana", 0x3041, 0x309F),
    ("katakana", 0x30A1, 0x30FF),
    ("han", 0x3400, 0x9FFF),
    ("hangul", 0xAC00, 0xD7A3),
    ("arabic", 0xFB50, 0xFEFC),
    ("katakana", 0xFF66, 0xFF9D),
)
SCRIPTS: tuple[str, ...] = tuple(dict.fromkeys(name for name, _, _ in _SCRIPTS))
SPACELESS = frozenset({"han", "thai", "hiragana"})
"""Scripts without spaces between words: a name may begin and end anywhere."""
JOINED = SPACELESS | {"hangul"}
"""Scripts in which a name may end anywhere: particles are written together with it."""
PREFIXED = frozenset({"arabic", "hebrew"})
"""Scripts that write articles, prepositions and conjunctions together with the next word."""
_ONE_LIQUID = frozenset({"katakana", "hiragana", "hangul", "han"})
"""Scripts in whose languages l and r are one sound."""

_SILENT = frozenset("хХχΧخッっ")
_READ = {"ו": "u", "פ": "p", "ף": "p", "ц": "s", "Ц": "s", "ж": "J", "Ж": "J", "ج": "J", "ש": "S"}
"""Letters that stand for other sounds in foreign names than anyascii's spelling of them says."""

_SPELLED = re.compile(r"shch|dzh|sch|tch|tsh|sh|ch|ph|th|ck|qu|zh|dj|ts|tz|kh|bh|dh|gh|jh|[a-z]")
_SPOKEN: Mapping[str, str] = {
    "shch": "S", "dzh": "J", "sch": "S", "tch": "C", "tsh": "C", "sh": "S", "ch": "C", "ph": "f", "th": "T", "ck": "k",
    "qu": "ku", "zh": "J", "dj": "J", "ts": "s", "tz": "s", "kh": "k", "bh": "b", "dh": "d", "gh": "g", "jh": "J",
    "j": "J", "q": "k", "x": "ks", "y": "i", "w": "u", "h": "",
}  # fmt: skip


def script_of(char: str) -> str:
    """Script of a letter; empty for Latin ones, for other scripts, and for what is no letter."""
    code = ord(char)
    for name, low, high in _SCRIPTS:
        if low <= code <= high:
            return name if unicodedata.category(char)[0] in "LM" else ""
    return ""


@lru_cache(1 << 14)
def heard(char: str) -> str:
    """Sounds of one letter of another script."""
    if char in _SILENT:
        return ""
    if char in _READ:
        return _READ[char]
    script = script_of(char)
    spelled = re.sub(r"[^a-z]", "", anyascii(char).lower())
    if script == "han" and spelled.endswith("ng"):
        spelled = spelled[:-1]
    if script in ("hebrew", "arabic") and spelled in ("w", "v"):
        return "u"
    sounds = "".join(_SPOKEN.get(piece, piece) for piece in _SPELLED.findall(spelled))
    if script == "han":
        sounds = re.sub("[xqc]", "C", spelled[:1]) + sounds[1:] if spelled[:1] in "xqc" else sounds
    sounds = sounds.replace("c", "C" if script == "indic" else "k")
    return sounds.replace("l", "r") if script in _ONE_LIQUID else sounds


@dataclass(frozen=True, slots=True)
class Sounds:
    """Consonants with what is between them.

    Attributes:
        skeleton: group of every consonant; neighbours of one group within a word are one.
        consonants: the sounds behind every character of the skeleton.
        vowels: what precedes the first consonant, then what follows each one.
        borders: places in the skeleton at which further words begin.
    """

    skeleton: str
    consonants: tuple[str, ...]
    vowels: tuple[str, ...]
    borders: tuple[int, ...]


def sounds(words: Sequence[str]) -> Sounds:
    """Put the sounds of words into groups."""
    skeleton: list[str] = []
    consonants: list[str] = []
    vowels = [""]
    borders: list[int] = []
    for word in words:
        borders.append(len(skeleton))
        fresh = True
        for sound in word:
            group = GROUPS.get(sound)
            if group is None:
                vowels[-1] += sound
            elif not fresh and skeleton[-1] == group:
                consonants[-1] += sound if sound not in consonants[-1] else ""
            else:
                skeleton.append(group)
                consonants.append(sound)
                vowels.append("")
                fresh = False
    return Sounds("".join(skeleton), tuple(consonants), tuple(vowels), tuple(borders[1:]))


_LATIN = re.compile(r"sch|tch|sh|ch|ph|th|ck|qu|zh|dj|kh|gh|ts|tz|c[eiy]|hu|[a-z]")
_CODA = re.compile(r"r(?![aeiouy])")
_USUAL: Mapping[str, str] = {
    "sch": "S", "tch": "C", "sh": "S", "ch": "C", "ph": "f", "th": "T", "ck": "k", "qu": "ku", "zh": "J", "dj": "J",
    "kh": "", "gh": "g", "ts": "s", "tz": "s", "ce": "se", "ci": "si", "cy": "si", "c": "k", "hu": "u", "j": "J",
    "q": "k", "x": "ks", "y": "i", "w": "u", "h": "",
}  # fmt: skip
"""Spelling -> sounds, as in most languages."""
_JAPANESE = {"l": "r", "v": "b", "th": "s"}
_KOREAN = {"l": "r", "v": "b", "f": "p", "ph": "p", "z": "J", "th": "s"}
_CHINESE = {"l": "r"}
STYLES: tuple[tuple[frozenset[str], Mapping[str, str], bool], ...] = (
    (frozenset({"cyrillic", "indic", "georgian", "armenian"}), {"w": "v"}, False),
    (frozenset({"cyrillic"}), {"w": "v", "h": "g", "hu": "gu", "ch": "k"}, False),
    (frozenset({"greek"}), {}, False),
    (frozenset({"greek"}), {"b": "mp", "d": "nt"}, False),
    (frozenset({"greek"}), {"b": "mp", "d": "nt", "w": "gu", "ch": ""}, False),
    (frozenset({"arabic"}), {"p": "b", "v": "f", "ph": "f"}, False),
    (frozenset({"arabic"}), {"p": "b", "v": "f", "ph": "f", "g": "J"}, False),
    (frozenset({"hebrew", "thai"}), {"f": "p", "ph": "p"}, False),
    (frozenset({"hebrew"}), {"f": "p", "ph": "p", "v": "u", "j": "g", "ch": ""}, False),
    *(
        (frozenset({script}), {**changed, **more}, drop)
        for script, changed, more in (
            ("katakana", _JAPANESE, {}),
            ("katakana", _JAPANESE, {"hu": "fu"}),
            ("hangul", _KOREAN, {}),
            ("hangul", _KOREAN, {"f": "", "ph": ""}),
            ("han", _CHINESE, {"v": "u"}),
            ("han", _CHINESE, {"v": "f"}),
        )
        for drop in (False, True)
    ),
)
"""Scripts, what letters of a name become in them, and whether an r that no vowel follows is left out."""


def spoken(word: str, changed: Mapping[str, str], *, drop: bool = False) -> str:
    """Sounds that a word of the letters a to z is written with in another script."""
    plain = _CODA.sub("", word) if drop else word
    return "".join(changed.get(piece, _USUAL.get(piece, piece)) for piece in _LATIN.findall(plain))


_NEAR: Mapping[frozenset[str], float] = {
    frozenset(pair[:2]): int(pair[2]) / 10
    for pair in (
        *("pb3", "pf3", "bv2", "fv2", "pv4"),
        *("td3", "tT1", "dT3", "Ts2", "TS3", "sz1", "sS2", "SC3", "sC3", "CJ3", "zJ2", "sJ4", "SJ3", "dJ4", "tC3"),
        *("ts5", "dz5", "kg3", "nm2"),
    )
}
"""Two consonants of one group, and ten times the cost of one in the place of the other."""
_FAR, _MORE = 0.6, 0.3
"""Cost of another sound of one group, and of one sound more or less."""
_PLACE = {"a": 0, "e": 1, "i": 1, "o": 2, "u": 2}


def distance(name: Sounds, other: Sounds, begin: int, script: str) -> float:
    """Difference of sounds per consonant between a name and what stands at `begin` in a text of the same skeleton.

    A vowel put in costs less than a wrong one, and vowels that the script does not write cost nothing.
    """
    size, written = len(name.consonants), script not in PREFIXED
    cost = sum(_between(one, other.consonants[begin + i]) for i, one in enumerate(name.consonants))
    for i, one in enumerate(name.vowels):
        if i or not begin:  # before the first consonant may stand what is prefixed
            cost += _gap(one, other.vowels[begin + i], written) * (0.3 if i == size else 1.0)
    borders = {b - begin for b in other.borders if 0 < b - begin < size}
    cost += (0.2 if script in JOINED or script == "katakana" else 0.5) * len(borders ^ set(name.borders))
    return cost / max(size, 1)


def _between(one: str, other: str) -> float:
    if one == other:
        return 0.0
    short, long = sorted((one, other), key=len)
    near = sum(min(0.0 if a == b else _NEAR.get(frozenset((a, b)), _FAR) for b in long) for a in short)
    return near + _MORE * (len(long) - len(short))


def _gap(one: str, other: str, written: bool) -> float:
    if not one:
        return 0.1 if other and written else 0.0
    if not other:
        return 0.2 if written else 0.0
    return 0.0 if {_PLACE[v] for v in one} & {_PLACE[v] for v in other} else 0.15
