"""Words of names as languages in Latin script write them that spell foreign names by their sound.

Latvian and Lithuanian respell names and give them endings (`Harijs Poters`); Serbian, Bosnian and Azerbaijani respell
them. Accents are folded already: `s` stands for an s with caron as well.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping

LEAST = 2
"""Letters of a word that is respelt."""
ENDINGS = ("", "s", "is", "as", "us", "a", "am", "u", "i", "e", "ei", "es", "om", "em", "ai")
"""Endings of the cases, accents folded: nominative, genitive, dative, accusative of both genders."""
_AFTER_I = ("js", "ja", "jus", "jas", "jam", "ju", "jos")
_PIECES = re.compile(r"sch|tch|sh|ch|ph|th|ck|cc|qu|x|oo|ee|c(?=[eiy])|g(?=[eiy])|[a-z]")
_SOUNDS: Mapping[str, tuple[str, ...]] = {
    "sch": ("s",), "tch": ("c",), "sh": ("s",), "ch": ("c", "h", "k", "s"), "ph": ("f",), "th": ("t",), "ck": ("k",),
    "cc": ("k", "c"), "qu": ("kv", "k"), "x": ("ks", "gz"), "oo": ("u",), "ee": ("i",), "c": ("k",), "q": ("k",),
    "w": ("v",), "y": ("i", "j"), "j": ("dz", "j", "z", "h"), "g": ("g",),
}  # fmt: skip
"""Spelling -> what is written for it."""
_SOFT: Mapping[str, tuple[str, ...]] = {"c": ("k", "s", "c"), "g": ("g", "dz")}
"""The same before e, i and y."""
_HIATUS = re.compile("i(?=[aeou])")
_MOST = 16


def respellings(word: str) -> set[str]:
    """Other spellings of a folded word by its sound, with endings; none of a word that is no plain letters."""
    if len(word) < LEAST or not (word.isascii() and word.isalpha()):
        return set()
    stems = dict.fromkeys(stem for spelt in itertools.islice(_spelt(word), _MOST) for stem in (spelt, _single(spelt)))
    found = {stem + ending for stem in stems for ending in ENDINGS}
    found |= {stem + ending for stem in stems if stem[-1] == "i" for ending in _AFTER_I}
    found |= {stem[:-1] + ending for stem in stems if stem[-1] in "aeiou" for ending in ENDINGS[stem[-1] != "e" :]}
    return {spelling for spelling in found if len(spelling) >= LEAST} - {word}


def _spelt(word: str) -> Iterator[str]:
    pieces = _PIECES.findall(word)
    ways = [
        _SOFT[p] if p in _SOFT and follows[:1] in ("e", "i", "y") and follows else _SOUNDS.get(p, (p,))
        for p, follows in zip(pieces, [*pieces[1:], ""], strict=True)
    ]
    for chosen in itertools.product(*ways):
        spelt = "".join(chosen)
        yield spelt
        if _HIATUS.search(spelt):
            yield _HIATUS.sub("ij", spelt)


def _single(word: str) -> str:
    """Doubled letters as one."""
    return re.sub(r"(.)\1", r"\1", word)
