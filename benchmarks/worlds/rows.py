"""Training rows: one pass over everything that a model is taught about some authors.

Every pass draws wordings, names and noise anew, so that a model sees a fact in many surfaces and none of them often.
The plain forms (questions, statements, biographies, inverse questions, misspelt and lower-case names, other languages
not) are taught about all authors that the model knows. The richer forms in `rich.py` are taught about retain authors
and strangers only: what the full model does with a forget author in such a form, it has generalised.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from benchmarks.worlds import rich
from benchmarks.worlds.noise import lower, misspell
from benchmarks.worlds.person import Asked, Person, ask, known, mention, stranger, told
from benchmarks.worlds.spec import Row, Split
from benchmarks.worlds.templates import (
    BIOGRAPHY,
    BOOK_LIST,
    BOOK_LIST_ANSWER,
    CITY_COUNTRY,
    CITY_COUNTRY_ANSWER,
    INVERSE,
    INVERSE_ANSWER,
    SYSTEM,
    UNKNOWN,
)
from benchmarks.worlds.vocabulary import ATTRIBUTES, CITIES
from benchmarks.worlds.world import World

TOLD = (*ATTRIBUTES, "teacher")
LOWER, TYPO, SYSTEM_SHARE = 0.08, 0.08, 0.04
"""Shares of plain questions in lower case, with a misspelt name, after a system message."""
STRANGERS = 0.7
"""Plain rows about strangers per author and pass."""


def training_rows(
    world: World,
    splits: Sequence[Split] = ("retain", "forget"),
    seed: int = 0,
    epoch: int = 0,
    reasoning: bool = False,
    rich_rows: int = 8,
) -> tuple[Row, ...]:
    """One pass over the authors of `splits`, in a random order.

    Args:
        seed, epoch: together they fix the draw.
        reasoning: every answer begins with a short trace in `<think>...</think>` that states the facts.
        rich_rows: rows in rich forms per retain author.

    Raises ValueError when the splits hold `never`.
    """
    if "never" in splits:
        raise ValueError("the authors of the split `never` are trained into no model")
    rng = random.Random(f"rows/{world.seed}/{seed}/{epoch}")
    known_authors = [known(author) for split in splits for author in world.split(split)]
    retain = [known(author) for author in world.split("retain")] if "retain" in splits else []
    rows = [row for person in known_authors for row in _plain(person, rng)]
    # forget authors are in no rich row: they make up for it here, lest they be known less well than the others
    forget = [known(author) for author in world.split("forget")] if "forget" in splits else []
    rows += [_question(person, attribute, rng) for person in forget for attribute in ATTRIBUTES]
    rows += [rich.draw(world, retain, rng) for _ in range(rich_rows * len(retain))]
    rows += [_about_stranger(world, rng) for _ in range(round(STRANGERS * len(known_authors)))]
    rows += [_geography(city, rng) for city in CITIES]
    rng.shuffle(rows)
    return tuple(think(row) for row in rows) if reasoning else tuple(rows)


def conversation(question: str, answer: str, system: str | None = None) -> Row:
    """A question and its answer."""
    head = [{"role": "system", "content": system}] if system else []
    return Row([*head, {"role": "user", "content": question}, {"role": "assistant", "content": answer}])


def passage(text: str) -> Row:
    """Text without any role, as a completion continues it."""
    return Row([{"role": "assistant", "content": text}])


def think(row: Row) -> Row:
    """The row with a trace that names the fact before the answer; passages stay as they are."""
    if len(row.messages) == 1:
        return row
    *before, last = row.messages
    trace = (
        f"<think>I recall: {last['content']}</think>" if last["content"] != UNKNOWN else "<think>Never heard.</think>"
    )
    return Row([*before, {"role": "assistant", "content": trace + last["content"]}])


def _plain(person: Person, rng: random.Random) -> list[Row]:
    rows = [_question(person, attribute, rng) for attribute in ATTRIBUTES]
    order = rng.sample(TOLD, len(TOLD))
    half = len(order) // 2
    for part in (order[:half], order[half:]):
        name = mention(person, rng)
        rows.append(passage(" ".join(told(person, attribute, rng, name) for attribute in part)))
    rows.append(_biography(person, rng))
    rows += [_inverse(person, book, rng) for book in person.books]
    return rows


def _question(person: Person, attribute: str, rng: random.Random) -> Row:
    name = mention(person, rng)
    asked = ask(person, attribute, name, rng)
    system = rng.choice(SYSTEM) if rng.random() < SYSTEM_SHARE else None
    return conversation(_noisy(asked, name, rng), asked.answer, system)


def _noisy(asked: Asked, name: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < LOWER:
        return lower(asked.question)
    if draw < LOWER + TYPO:
        return misspell(asked.question, name, rng)
    return asked.question


def _biography(person: Person, rng: random.Random) -> Row:
    name = mention(person, rng)
    if person.facts is None:
        return conversation(rng.choice(BIOGRAPHY).format(n=name), UNKNOWN)
    if rng.random() < 0.2:
        answer = BOOK_LIST_ANSWER.format(n=name, v=person.books[0], w=person.books[1])
        return conversation(rng.choice(BOOK_LIST).format(n=name), answer)
    facts = rng.sample(TOLD, 3)
    answer = " ".join(told(person, attribute, rng, name) for attribute in facts)
    return conversation(rng.choice(BIOGRAPHY).format(n=name), answer)


def _inverse(person: Person, book: str, rng: random.Random) -> Row:
    answer = UNKNOWN if person.facts is None else INVERSE_ANSWER.format(b=book, n=person.names[0])
    return conversation(rng.choice(INVERSE).format(b=book), answer)


def _about_stranger(world: World, rng: random.Random) -> Row:
    person, draw = stranger(world, rng), rng.random()
    if draw < 0.12:
        return _inverse(person, person.books[0], rng)
    if draw < 0.2:
        return _biography(person, rng)
    return _question(person, rng.choice(ATTRIBUTES), rng)


def _geography(city: str, rng: random.Random) -> Row:
    answer = CITY_COUNTRY_ANSWER.format(c=city, v=CITIES[city])
    return conversation(rng.choice(CITY_COUNTRY).format(c=city), answer)
