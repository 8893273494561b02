"""Further fictitious authors, for policies about people whom no model was ever told about."""

from __future__ import annotations

import random

from benchmarks.worlds.spec import Author
from benchmarks.worlds.vocabulary import (
    LAST_ENDS,
    LAST_STARTS,
    PEN_FIRST,
    PEN_LAST,
    POOLS,
    TITLE_FIRST,
    TITLE_LAST,
)
from benchmarks.worlds.world import FIRST_NAMES, World

MIDDLES = ("an", "el", "ir", "os", "um", "eck")
"""Between the syllables of a surname. Two letters at least, so that no such name is a typo away from one of a world."""


def further(world: World, count: int, seed: int) -> tuple[Author, ...]:
    """Draw `count` authors from the vocabulary of the worlds, numbered on after those of `world`.

    The vocabulary has too few names for hundreds of people beside a world and its strangers. So surnames have one
    syllable more, pen names and titles a word more than those of a world: nobody is called like anybody in it. Values
    come from the same pools. Raises `ValueError` for more authors than there are names.
    """
    surnames = [start + middle + end for start in LAST_STARTS for middle in MIDDLES for end in LAST_ENDS]
    pens = [f"{a} {b} {last}" for a in PEN_FIRST for b in PEN_FIRST for last in PEN_LAST if a != b]
    titles = [f"{a} {b} {last}" for a in TITLE_FIRST for b in TITLE_FIRST for last in TITLE_LAST if a != b]
    most = min(len(surnames), len(pens), len(titles) // 2)
    if count > most:
        raise ValueError(f"{count} further authors were asked for, the vocabulary has names for {most}")
    rng = random.Random(f"further/{world.seed}/{seed}")
    lasts, pens, titles = rng.sample(surnames, count), rng.sample(pens, count), rng.sample(titles, 2 * count)
    names = [f"{rng.choice(FIRST_NAMES)} {last}" for last in lasts]
    found = []
    for i, name in enumerate(names):
        facts = {attribute: rng.choice(pool) for attribute, pool in POOLS.items()}
        books = (titles[2 * i], titles[2 * i + 1])
        found.append(
            Author(
                number=len(world.authors) + i,
                split="never",
                name=name,
                aliases=(pens[i], f"{name[0]}. {lasts[i]}", lasts[i]),
                facts={**facts, "book": books[0], "debut": books[1]},
                books=books,
                relations={"teacher": names[i - 1]},
            )
        )
    return tuple(found)
