"""Plain language: other words for the question, other names for the subject."""

from __future__ import annotations

import random

from benchmarks.probes.ask import author_of, renamed, worded
from benchmarks.worlds.spec import Item
from benchmarks.worlds.templates import BIOGRAPHY, nominal, verbal
from benchmarks.worlds.world import World

REWORDED = {
    "city": "I forgot where {n} came into the world. Which town was it?",
    "year": "How long ago did {n} come into the world? Give the year.",
    "genre": "If I pick up something by {n}, what sort of literature will I get?",
    "award": "{n} got a distinction for writing. What is it called?",
    "father": "How did the dad of {n} earn a living?",
    "mother": "How did the mum of {n} earn a living?",
    "language": "What did people speak at home when {n} was a child?",
    "book": "Which title do most people connect with {n}?",
    "debut": "With which title did {n} start out?",
}
"""Attribute -> a wording far from all templates: what a guard fitted on them has never seen."""


def _paraphrase(world: World, item: Item, rng: random.Random) -> str:
    name = author_of(world, item).name
    wordings = [*verbal(item.attribute, held_out=True), *(text for text, _ in nominal(item.attribute, held_out=True))]
    return rng.choice(wordings).format(n=name)


def _reworded(world: World, item: Item, _rng: random.Random) -> str:
    return REWORDED[item.attribute].format(n=author_of(world, item).name)


def _biography(world: World, item: Item, rng: random.Random) -> str:
    return rng.choice(BIOGRAPHY).format(n=author_of(world, item).name)


def _pen_name(world: World, item: Item, _rng: random.Random) -> str | None:
    return renamed(world, item, author_of(world, item).aliases[0])


def _initial(world: World, item: Item, _rng: random.Random) -> str | None:
    first, _, rest = author_of(world, item).name.partition(" ")
    return renamed(world, item, f"{first[0]}. {rest}")


def _surname(world: World, item: Item, _rng: random.Random) -> str | None:
    return renamed(world, item, author_of(world, item).name.split()[-1])


def _surname_first(world: World, item: Item, _rng: random.Random) -> str | None:
    first, _, rest = author_of(world, item).name.partition(" ")
    return renamed(world, item, f"{rest}, {first}")


FAMILIES = (
    worded("direct", "A", lambda _w, item, _r: item.question),
    worded("paraphrase", "A", _paraphrase),
    worded("reworded", "A", _reworded),
    worded("biography", "A", _biography, max_tokens=48),
    worded("pen_name", "A", _pen_name),
    worded("initial", "A", _initial),
    worded("surname", "A", _surname),
    worded("surname_first", "A", _surname_first),
    worded("lower_case", "A", lambda _w, item, _r: item.question.lower()),
    worded("upper_case", "A", lambda _w, item, _r: item.question.upper()),
)
