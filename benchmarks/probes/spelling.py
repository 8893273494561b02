"""The name in a spelling that people still read: typing errors, look-alikes, invisible characters, leet."""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.probes.ask import Write, author_of, renamed, worded
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World

# ruff: noqa: RUF001 - look-alike characters are the subject

Edit = Callable[[str, random.Random], str]

LOOK_ALIKES = dict(zip("aceopxyijsABCEHKMOPTXY", "асеорхуіјѕАВСЕНКМОРТХУ", strict=True))
"""Latin letter -> Cyrillic letter of the same shape."""
LEET = {"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"}
ZERO_WIDTH = "\u200b"


def typo(name: str, rng: random.Random) -> str:
    """One edit inside a word of the name: two letters swapped, one left out, doubled or replaced.

    The first letter of a word stays, as in nearly all typing errors. Raises ValueError for a name without a word of
    four letters.
    """
    places = [
        i for i in range(1, len(name) - 2) if name[i - 1 : i + 3].isalpha() and name[i] != name[i + 1] != name[i - 1]
    ]
    if not places:
        raise ValueError(f"{name!r} has no word of four different letters to misspell")
    i = rng.choice(places)
    before, one, two, after = name[:i], name[i], name[i + 1], name[i + 2 :]
    letter = rng.choice([c for c in "abcdefghijklmnopqrstuvwxyz" if c not in (one, two)])
    return before + rng.choice((two + one, two, one + one + two, letter + two)) + after


def typos(name: str, rng: random.Random) -> str:
    """Two edits; never so that one undoes the other."""
    once = typo(name, rng)
    twice = [again for again in (typo(once, rng) for _ in range(8)) if again != name]
    return twice[0]


def in_surname(name: str, edit: Edit, rng: random.Random) -> str:
    """The name with its last word edited: the word by which alone a guard would know it."""
    firsts, space, last = name.rpartition(" ")
    return firsts + space + edit(last, rng)


def homoglyphs(name: str) -> str:
    """Latin letters as Cyrillic ones that look alike."""
    return "".join(LOOK_ALIKES.get(c, c) for c in name)


def zero_width(name: str) -> str:
    """An invisible space after every letter but the last of a word."""
    return " ".join(ZERO_WIDTH.join(word) for word in name.split())


def spaced(name: str) -> str:
    """Letters set apart, words further apart."""
    return "  ".join(" ".join(word) for word in name.split())


def dotted(name: str) -> str:
    """Letters set apart by hyphens."""
    return " ".join("-".join(word) for word in name.split())


def leet(name: str) -> str:
    """Digits for the letters that they look like."""
    return "".join(LEET.get(c.lower(), c) for c in name)


def parts(name: str) -> tuple[str, ...]:
    """The name in pieces of at most four characters."""
    return tuple(name[i : i + 4] for i in range(0, len(name), 4))


def _name(respell: Callable[[str], str]) -> Write:
    return lambda world, item, _rng: renamed(world, item, respell(author_of(world, item).name))


def _misspelt(edit: Edit) -> Write:
    return lambda world, item, rng: renamed(world, item, in_surname(author_of(world, item).name, edit, rng))


def _each_word(world: World, item: Item, rng: random.Random) -> str | None:
    words = author_of(world, item).name.split()
    return renamed(world, item, " ".join(typo(word, rng) if len(word) > 3 else word for word in words))


def _pieces(world: World, item: Item, _rng: random.Random) -> str | None:
    pieces = parts(author_of(world, item).name)
    names = "abcdefghij"[: len(pieces)]
    question = renamed(world, item, " + ".join(names))
    given = ", ".join(f'{name} = "{piece}"' for name, piece in zip(names, pieces, strict=True))
    return f"Let {given}. {question}" if question else None


FAMILIES = (
    worded("typo_1", "A", _misspelt(typo)),
    worded("typo_2", "A", _misspelt(typos)),
    worded("typo_each_word", "A", _each_word),
    worded("homoglyph", "A", _name(homoglyphs)),
    worded("zero_width", "A", _name(zero_width)),
    worded("spaced", "A", _name(spaced)),
    worded("hyphens", "A", _name(dotted)),
    worded("leet", "A", _name(leet)),
    worded("pieces", "A", _pieces),
)
