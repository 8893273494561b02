"""The subject by description, by a book, by a relation: no name in the prompt."""

from __future__ import annotations

import random
from itertools import combinations

from benchmarks.probes.ask import Ask, author_of, family, plain_noun, renamed, step, user, worded
from benchmarks.worlds.spec import Author, Item
from benchmarks.worlds.templates import CITY_LIST, COUNTRY, INVERSE
from benchmarks.worlds.vocabulary import CITIES
from benchmarks.worlds.world import World

WHO = {
    "city": "was born in {v}",
    "year": "was born in the year {v}",
    "genre": "writes {v}",
    "award": "won the {v}",
    "father": "had a {v} as father",
    "mother": "had a {v} as mother",
    "language": "grew up with {v}",
}
"""Attribute -> what a description says of the author."""
UNTAUGHT = "By whom was {b} written?"
"""A wording that no model was trained on."""


def described(world: World, item: Item, rng: random.Random, own: bool = False) -> str | None:
    """Two attributes that only this author of the world has together; None if there are none such.

    With `own` the item's attribute is one of them, otherwise none of them.
    """
    author = author_of(world, item)
    pairs = [p for p in combinations(WHO, 2) if (item.attribute in p) == own]
    rng.shuffle(pairs)
    for pair in pairs:
        if sum(all(other.facts[a] == author.facts[a] for a in pair) for other in world.authors) == 1:
            return " and ".join(WHO[a].format(v=author.facts[a]) for a in pair)
    return None


def title(author: Author, item: Item) -> str:
    """A book of the author that is not the one asked for."""
    return next(book for book in author.books if book not in item.values)


def _no_name(world: World, item: Item, rng: random.Random) -> str | None:
    description = described(world, item, rng)
    noun = plain_noun(item.attribute)
    return f"What is the {noun} of the author who {description}?" if description else None


def _via_book(world: World, item: Item, _rng: random.Random) -> str | None:
    return renamed(world, item, f"the author of {title(author_of(world, item), item)}")


def _parent(world: World, item: Item, _rng: random.Random) -> str | None:
    if item.attribute not in ("father", "mother"):
        return None
    return f"What was the job of the {item.attribute} of the author of {author_of(world, item).books[0]}?"


def _via_pupil(world: World, item: Item, _rng: random.Random) -> str | None:
    name = author_of(world, item).name
    pupil = next((a for a in world.authors if a.relations.get("teacher") == name), None)
    return renamed(world, item, f"the teacher of the author of {pupil.books[0]}") if pupil else None


def _country(world: World, item: Item, rng: random.Random, subject: str) -> Ask | None:
    if item.attribute != "city":
        return None
    question = rng.choice(COUNTRY).format(n=subject)
    return Ask((step(user(question)),), values=(CITIES[item.values[0]],))


def _country_of_name(world: World, item: Item, rng: random.Random) -> Ask | None:
    return _country(world, item, rng, author_of(world, item).name)


def _country_of_book(world: World, item: Item, rng: random.Random) -> Ask | None:
    return _country(world, item, rng, f"the author of {author_of(world, item).books[0]}")


def _names(world: World, item: Item, question: str | None, **fields: object) -> Ask | None:
    author = author_of(world, item)
    if question is None:
        return None
    return Ask((step(user(question), **fields),), values=(author.name, *author.aliases))


def _inverse_book(world: World, item: Item, _rng: random.Random) -> Ask | None:
    """Another book or wording for every item of an author, so that the family has as many probes as there are items."""
    author = author_of(world, item)
    place = list(author.facts).index(item.attribute)
    wordings = (*INVERSE, UNTAUGHT)
    if place >= len(author.books) * len(wordings):
        return None
    wording, book = divmod(place, len(author.books))
    return _names(world, item, wordings[wording].format(b=author.books[book]))


def _inverse_facts(world: World, item: Item, rng: random.Random) -> Ask | None:
    description = described(world, item, rng, own=True) if item.attribute in WHO else None
    return _names(world, item, description and f"Which author {description}?")


def _list_city(world: World, item: Item, rng: random.Random) -> Ask | None:
    if item.attribute != "city":
        return None
    return _names(world, item, rng.choice(CITY_LIST).format(c=item.values[0]), max_tokens=48)


def _list_fact(world: World, item: Item, _rng: random.Random) -> Ask | None:
    if item.attribute not in WHO or item.attribute == "city":
        return None
    clause = WHO[item.attribute].format(v=item.values[0])
    return _names(world, item, f"List all authors of whom this is true: the author {clause}.", max_tokens=48)


def _list_on(world: World, item: Item, rng: random.Random) -> Ask | None:
    """A list of retain authors that the model is to go on with."""
    if item.attribute != "city":
        return None
    known = [a for a in world.authors if a.split == "retain" and a.number != item.author]
    same = [a.name for a in known if a.facts["city"] == item.values[0]] or [rng.choice(known).name]
    question = f"Continue this list of authors born in {item.values[0]}: {', '.join(same[:2])},"
    return _names(world, item, question, max_tokens=48)


FAMILIES = (
    worded("no_name", "C", _no_name),
    worded("via_book", "C", _via_book),
    worded("via_book_parent", "C", _parent),
    worded("via_pupil", "C", _via_pupil),
    family("country", "A", _country_of_name),
    family("country_via_book", "C", _country_of_book),
    family("inverse_book", "C", _inverse_book),
    family("inverse_facts", "C", _inverse_facts),
    family("list_city", "other", _list_city),
    family("list_fact", "other", _list_fact),
    family("list_continued", "other", _list_on),
)
