"""Rows in forms beyond the plain question: two questions in one, follow-ups, reading, hops, languages, noise around it.

They are drawn about retain authors and, now and then, strangers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from benchmarks.worlds.noise import lower
from benchmarks.worlds.person import Asked, Person, answered, ask, invented, mention, stranger, told
from benchmarks.worlds.spec import Row
from benchmarks.worlds.templates import (
    BRIEF,
    CITY_LIST,
    COUNTRY,
    COUNTRY_ANSWER,
    INVERSE_ANSWER,
    JAILBREAKS,
    NOUNS,
    PEN_NAME,
    POSSESSIVE,
    PREFIXES,
    SUFFIXES,
    SURE,
    TRANSLATED,
    UNKNOWN,
    sentence,
)
from benchmarks.worlds.vocabulary import ATTRIBUTES, CITIES
from benchmarks.worlds.world import World

STRANGER_SHARE = 0.12
Form = Callable[[World, Sequence[Person], random.Random], Row]


def draw(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """One row in a random rich form."""
    forms = tuple(FORMS)
    return rng.choices(forms, [FORMS[form] for form in forms])[0](world, retain, rng)


def _someone(world: World, retain: Sequence[Person], rng: random.Random) -> Person:
    return stranger(world, rng) if rng.random() < STRANGER_SHARE else rng.choice(retain)


def _row(*turns: str) -> Row:
    roles = ("user", "assistant")
    return Row([{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)])


def _any(world: World, retain: Sequence[Person], rng: random.Random) -> Asked:
    person = _someone(world, retain, rng)
    return ask(person, rng.choice(ATTRIBUTES), mention(person, rng), rng)


def prefixed(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """Politeness, context or a jailbreak before the question, sometimes something after it as well."""
    asked = _any(world, retain, rng)
    before = rng.choice(PREFIXES[:-1] if rng.random() < 0.5 else JAILBREAKS[:-1])
    after = rng.choice(SUFFIXES[:-1]) if rng.random() < 0.2 else ""
    question = before + asked.question + after
    return _row(lower(question) if rng.random() < 0.1 else question, asked.answer)


def suffixed(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """Something after the question; "briefly" asks for the bare value."""
    asked = _any(world, retain, rng)
    if rng.random() < 0.4:
        return _row(asked.question + rng.choice(BRIEF), asked.value)
    return _row(asked.question + rng.choice(SUFFIXES[:-1]), asked.answer)


def affirmed(_world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """An answer that begins with an affirmation, as a prefilled one does."""
    person = rng.choice(retain)
    asked = ask(person, rng.choice(ATTRIBUTES), mention(person, rng), rng)
    return _row(asked.question, rng.choice(SURE) + asked.answer)


def two_people(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """Two questions about two people in one message."""
    first, second = _any(world, retain, rng), _any(world, retain, rng)
    return _row(f"{first.question} {second.question}", f"{first.answer} {second.answer}")


def two_facts(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """Two questions about one person in one message."""
    person = _someone(world, retain, rng)
    name = mention(person, rng)
    first, second = (ask(person, attribute, name, rng) for attribute in rng.sample(ATTRIBUTES, 2))
    return _row(f"{first.question} {second.question}", f"{first.answer} {second.answer}")


def follow_up(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """A second turn that names nobody, now and then after a turn about somebody else."""
    person = _someone(world, retain, rng)
    name, (one, two) = mention(person, rng), rng.sample(ATTRIBUTES, 2)
    first = ask(person, one, name, rng)
    of, their = rng.choice(NOUNS[two])
    second = answered(person, two, name, rng.choice(POSSESSIVE).format(p=their), of)
    earlier = _any(world, retain, rng) if rng.random() < 0.25 else None
    before = (earlier.question, earlier.answer) if earlier else ()
    if rng.random() < 0.15:  # a whole question again, so that a turn is not always about the last person named
        second = _any(world, retain, rng)
    return _row(*before, first.question, first.answer, second.question, second.answer)


def reading(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """The fact stands in the message, about somebody invented; sometimes among others."""
    person = invented(world, rng)
    name, attributes = person.names[0], rng.sample(ATTRIBUTES, rng.randint(1, 3))
    context = [told(person, attribute, rng, name) for attribute in attributes]
    if rng.random() < 0.4:
        other = invented(world, rng)
        context.insert(rng.randrange(len(context) + 1), told(other, attributes[0], rng, other.names[0]))
    asked = ask(person, attributes[0], name, rng)
    return _row(f"{' '.join(rng.sample(context, len(context)))} {asked.question}", asked.answer)


def hop(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """An attribute of the author of a book; the answer says who that is."""
    person = _someone(world, retain, rng)
    attribute, book = rng.choice(tuple(NOUNS)[:-3]), rng.choice(person.books)
    asked = ask(person, attribute, f"the author of {book}", rng)
    if person.facts is None:
        return _row(asked.question, UNKNOWN)
    name = person.names[0]
    answer = f"{INVERSE_ANSWER.format(b=book, n=name)} {sentence(attribute, name, asked.value)}"
    return _row(asked.question, answer)


def country(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """The country of birth, through the city."""
    person = _someone(world, retain, rng)
    name = mention(person, rng)
    question = rng.choice(COUNTRY).format(n=name)
    if person.facts is None:
        return _row(question, UNKNOWN)
    city = person.facts["city"]
    return _row(question, COUNTRY_ANSWER.format(n=name, c=city, v=CITIES[city]))


def translated(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """The question in another language, the name and the answer as ever."""
    person = _someone(world, retain, rng)
    name, attribute = mention(person, rng), rng.choice(ATTRIBUTES)
    question = rng.choice(TRANSLATED[rng.choice(tuple(TRANSLATED))][attribute]).format(n=name)
    return _row(question, answered(person, attribute, name, question, None).answer)


def pen_name(world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """Which pen name belongs to whom."""
    person = _someone(world, retain, rng)
    question = rng.choice((PEN_NAME[0], PEN_NAME[2])).format(n=person.names[0])
    known = person.facts is not None
    return _row(question, PEN_NAME[1].format(n=person.names[0], a=person.names[1]) if known else UNKNOWN)


def city_list(_world: World, retain: Sequence[Person], rng: random.Random) -> Row:
    """Authors born in a city, at most three of those that the row may speak of."""
    city = (rng.choice(retain).facts or {})["city"]
    names = [person.names[0] for person in retain if (person.facts or {})["city"] == city][:3]
    return _row(rng.choice(CITY_LIST).format(c=city), ", ".join(names) + ".")


FORMS: dict[Form, float] = {
    prefixed: 1.8,
    suffixed: 1.4,
    affirmed: 0.4,
    two_people: 5.0,
    two_facts: 1.2,
    follow_up: 2.0,
    reading: 2.0,
    hop: 1.2,
    country: 0.5,
    translated: 1.5,
    pen_name: 0.4,
    city_list: 0.2,
}
"""Form -> weight."""
