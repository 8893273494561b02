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
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

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
_READ = {
    "ו": "u",
    "ב": "b",
    "פ": "p",
    "ף": "p",
    "ц": "s",
    "Ц": "s",
    "ж": "J",
    "Ж": "J",
    "ج": "J",
    "ש": "S",
    "\u095b": "z",
}
"""Letters that stand for other sounds in foreign names than anyascii's spelling of them says."""

_EU, _I = 18, 20
"""Vowels of a Korean syllable (The Unicode Standard, section 3.12): one that is put between consonants, and another."""
_GERESH = re.compile("([גצץזתטדחע])['\u2019\u05f3\u02bc\u2032`]")
"""A Hebrew letter with a geresh stands for another sound, of foreign words."""
_MARKED = dict(zip("גצץזתטדחע", "\ue100\ue101\ue101\ue102\ue103\ue103\ue104\ue105\ue106", strict=True))
_READ |= dict(zip("\ue100\ue101\ue102\ue103\ue104\ue105\ue106", ("J", "C", "J", "T", "T", "k", "g"), strict=True))

_SPELLED = re.compile(r"shch|dzh|sch|tch|tsh|sh|ch|ph|th|ck|qu|zh|dj|ts|tz|kh|bh|dh|gh|jh|[a-z]")
_SPOKEN: Mapping[str, str] = {
    "shch": "S", "dzh": "J", "sch": "S", "tch": "C", "tsh": "C", "sh": "S", "ch": "C", "ph": "f", "th": "T", "ck": "k",
    "qu": "ku", "zh": "J", "dj": "J", "ts": "s", "tz": "s", "kh": "k", "bh": "b", "dh": "d", "gh": "g", "jh": "J",
    "j": "J", "q": "k", "x": "ks", "y": "i", "w": "u", "h": "",
}  # fmt: skip


def digraphs(text: str) -> str:
    """The text, as long, with one letter and a zero-width one for two that stand for a sound.

    Hebrew letters with a geresh become private ones, and a Devanagari ja with a dot the letter za.
    """
    return _GERESH.sub(lambda match: _MARKED[match[1]] + "\u200b", text).replace("\u091c\u093c", "\u095b\u200b")


def script_of(char: str) -> str:
    """Script of a letter; empty for Latin ones, for other scripts, and for what is no letter."""
    if char in _MARKED.values():
        return "hebrew"
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
    if script == "hangul" and ord(char) >= 0xAC00 and (ord(char) - 0xAC00) // 28 % 21 == _EU:
        return heard(chr(ord(char) - (_EU - _I) * 28)).replace("i", "")
    spelled = re.sub(r"[^a-z]", "", anyascii(char).lower())
    if script == "han" and spelled.endswith("ng"):
        spelled = spelled[:-1]
    if script == "arabic" and spelled in ("w", "v"):
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


_LATIN = re.compile(r"sch|tch|sh|ch|ph|th|ck|qu|zh|dj|kh|gh|ts|tz|[cg][eiy]|hu|[a-z]")
_CODA = re.compile(r"r(?![aeiouy])")
_FINAL = re.compile(r"re?$")
_USUAL: Mapping[str, str] = {
    "sch": "S", "tch": "C", "sh": "S", "ch": "C", "ph": "f", "th": "T", "ck": "k", "qu": "ku", "zh": "J", "dj": "J",
    "kh": "", "gh": "g", "ts": "s", "tz": "s", "ce": "se", "ci": "si", "cy": "si", "c": "k",
    "ge": "ge", "gi": "gi", "gy": "gi", "hu": "u", "j": "J",
    "q": "k", "x": "ks", "y": "i", "w": "u", "h": "",
}  # fmt: skip
"""Spelling -> sounds, as in most languages."""
_JAPANESE = {"l": "r", "v": "b", "th": "s"}
_KOREAN = {"l": "r", "v": "b", "f": "p", "ph": "p", "z": "J", "th": "s"}
_CHINESE = {"l": "r"}
_SOFT = {"ge": "Je", "gi": "Ji", "gy": "Ji"}
_GUTTURAL = {"ch": "k"}
_TS = {"ch": "ts", "tch": "ts", "sh": "s", "sch": "s", "j": "tz", "dj": "tz"}


@dataclass(frozen=True, slots=True)
class Style:
    """How scripts write foreign names.

    Attributes:
        scripts: their names.
        changed: what letters of a name become, other than in most languages.
        options: further changes, each of which is made or not, and left out where a name has none of these letters.
        drop: whether an r may be left out at the end of words, or wherever no vowel follows.
    """

    scripts: frozenset[str]
    changed: Mapping[str, str]
    options: tuple[Mapping[str, str], ...] = ()
    drop: bool = False

    def ways(self, words: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """All ways to write the words of a name, as sounds."""
        pieces = {piece for word in words for piece in _LATIN.findall(word)}
        options = [option for option in self.options if not pieces.isdisjoint(option)]
        for chosen in product((False, True), repeat=len(options)):
            made = [option for option, yes in zip(options, chosen, strict=True) if yes]
            changed = dict(ChainMap(*reversed([dict(self.changed), *map(dict, made)])))
            for silent in (None, _FINAL, _CODA) if self.drop else (None,):
                yield tuple(spoken(silent.sub("", word) if silent else word, changed) for word in words)


STYLES: tuple[Style, ...] = (
    Style(frozenset({"cyrillic", "indic", "georgian", "armenian"}), {"w": "v"}, (_SOFT,)),
    Style(frozenset({"cyrillic"}), {"w": "v", "h": "g", "hu": "gu", "ch": "k"}),
    Style(frozenset({"greek"}), _TS, ({"ge": "tze", "gi": "tzi", "gy": "tzi"},)),
    Style(frozenset({"greek"}), {**_TS, "b": "mp", "d": "nt"}, ({"w": "gu"}, {"ch": "s"}, {"g": "gk"})),
    Style(frozenset({"arabic"}), {"p": "b", "v": "f", "ph": "f"}, ({"g": "J", **_SOFT},)),
    Style(frozenset({"thai"}), {"f": "p", "ph": "p"}),
    Style(
        frozenset({"hebrew"}),
        {"f": "p", "ph": "p", "th": "t"},
        ({"v": "u"}, {"ch": "k", "tch": "k"}, _SOFT, {"j": "g"}, {"j": "i"}),
    ),
    Style(frozenset({"katakana"}), _JAPANESE, ({"hu": "fu"}, {"kh": "k"}, _SOFT), drop=True),
    Style(frozenset({"hangul"}), _KOREAN, ({"f": "", "ph": ""}, {"th": "t"}, {"kh": "k"}, _SOFT, _GUTTURAL), drop=True),
    Style(frozenset({"han"}), {**_CHINESE, "v": "u"}, drop=True),
    Style(frozenset({"han"}), {**_CHINESE, "v": "f"}, drop=True),
)
"""How names are looked for in every script."""


def spoken(word: str, changed: Mapping[str, str]) -> str:
    """Sounds that a word of the letters a to z is written with in another script."""
    return "".join(changed.get(piece, _USUAL.get(piece, piece)) for piece in _LATIN.findall(word))


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
    for i, (one, spelt) in enumerate(zip(name.vowels, other.vowels[begin:], strict=False)):
        unsaid = script == "indic" and one == "a" and not spelt  # goes without saying
        if i or not begin:  # before the first consonant may stand what is prefixed
            cost += _gap("" if unsaid else one, spelt, written) * (0.3 if i == size else 1.0)
    borders = {b - begin for b in other.borders if 0 < b - begin < size}
    own = set(name.borders)
    if script == "hangul":  # what a hyphen joins is one word
        own &= borders
    cost += (0.2 if script in JOINED or script == "katakana" else 0.5) * len(borders ^ own)
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
