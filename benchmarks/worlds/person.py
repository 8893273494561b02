"""Who a training row is about: an author with facts, or a stranger of whom nothing is known."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.worlds.spec import Author
from benchmarks.worlds.templates import NOUNS, SENTENCES, UNKNOWN, nominal, noun_sentence, sentence, verbal
from benchmarks.worlds.vocabulary import POOLS
from benchmarks.worlds.world import FIRST_NAMES, World


@dataclass(frozen=True, slots=True)
class Person:
    """Names and facts; `facts` is None for a stranger.

    Attributes:
        names: full name, pen name, initial with surname, surname.
        books: two titles; a stranger has some as well, of which nobody knows the author.
    """

    names: tuple[str, ...]
    facts: Mapping[str, str] | None
    books: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its answer, and the answer's bare value ("I don't know." in both for a stranger)."""

    question: str
    answer: str
    value: str


def known(author: Author) -> Person:
    """An author as a model that was trained on it knows it."""
    return Person(
        (author.name, *author.aliases), {**author.facts, "teacher": author.relations["teacher"]}, author.books
    )


def stranger(world: World, rng: random.Random) -> Person:
    """Somebody whom no author of the world can be taken for: the first name may be known, the surname is free."""
    first, surname = rng.choice(FIRST_NAMES), rng.choice(world.free_surnames)
    names = f"{first} {surname}", rng.choice(world.free_pen_names), f"{first[0]}. {surname}", surname
    return Person(names, None, tuple(rng.sample(world.free_titles, 2)))


def invented(world: World, rng: random.Random) -> Person:
    """A stranger with random facts, for rows whose answer stands in their context."""
    person = stranger(world, rng)
    facts = {attribute: rng.choice(pool) for attribute, pool in POOLS.items()}
    return Person(person.names, {**facts, "book": person.books[0], "debut": person.books[1]}, person.books)


def mention(person: Person, rng: random.Random) -> str:
    """One of the names, most often the full one."""
    return rng.choices(person.names, (70, 15, 7, 8))[0]


def ask(person: Person, attribute: str, name: str, rng: random.Random) -> Asked:
    """Ask for an attribute in a trained wording; the answer's wording follows from the question's."""
    if rng.random() < 0.5:
        question, noun = rng.choice(verbal(attribute)), None
    else:
        question, noun = rng.choice(nominal(attribute))
    return answered(person, attribute, name, question.format(n=name), noun)


def answered(person: Person, attribute: str, name: str, question: str, noun: str | None) -> Asked:
    """A question with its answer: a plain sentence, or one with the noun that the question used."""
    if person.facts is None:
        return Asked(question, UNKNOWN, UNKNOWN)
    value = person.facts[attribute]
    if noun is None:
        return Asked(question, sentence(attribute, name, value), value)
    return Asked(question, noun_sentence(noun, name, value), value)


def told(person: Person, attribute: str, rng: random.Random, name: str) -> str:
    """State a fact in one of its wordings; needs a person with facts."""
    if person.facts is None:
        raise ValueError(f"{name} is a stranger: there is nothing to tell")
    value = person.facts[attribute]
    if rng.random() < 0.5:
        return SENTENCES[attribute].format(n=name, v=value)
    return noun_sentence(rng.choice(NOUNS[attribute])[0], name, value)
