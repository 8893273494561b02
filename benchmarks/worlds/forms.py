"""Question forms: ways to ask for the fact of an item, each with wordings that training never used where it has any.

They measure what the ungated full model answers (`ceilings.py`); a probe of a served model may build on them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.worlds.noise import lower, misspell
from benchmarks.worlds.spec import Author, Item, Message
from benchmarks.worlds.templates import (
    COUNTRY,
    INVERSE,
    JAILBREAKS,
    NOUNS,
    POSSESSIVE,
    PREFIXES,
    SENTENCES,
    SUFFIXES,
    TRANSLATED,
    nominal,
    verbal,
)
from benchmarks.worlds.vocabulary import CITIES
from benchmarks.worlds.world import World, item


@dataclass(frozen=True, slots=True)
class Probe:
    """One conversation to send.

    Attributes:
        messages: the last one is the assistant's when the answer is prefilled.
        values: spellings that count as the answer.
        temperature: 0 is greedy.
    """

    messages: tuple[Message, ...]
    values: tuple[str, ...]
    temperature: float = 0.0


Form = Callable[[World, Item, random.Random], Probe | None]
"""Makes the probe of an item; None where the form does not apply to the item's attribute."""


def user(text: str) -> dict[str, str]:
    """A user message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    """An assistant message."""
    return {"role": "assistant", "content": text}


def _single(asked: Item, text: str) -> Probe:
    return Probe((user(text),), asked.values)


def _author(world: World, asked: Item) -> Author:
    return world.authors[asked.author]


def direct(_world: World, asked: Item, _rng: random.Random) -> Probe:
    """The item's own question."""
    return _single(asked, asked.question)


def paraphrase(world: World, asked: Item, rng: random.Random) -> Probe:
    """A wording that training held out."""
    wordings = [*verbal(asked.attribute, held_out=True), *(q for q, _ in nominal(asked.attribute, held_out=True))]
    return _single(asked, rng.choice(wordings).format(n=_author(world, asked).name))


def alias(world: World, asked: Item, rng: random.Random) -> Probe:
    """Pen name, initial and surname, or surname alone."""
    author = _author(world, asked)
    return _single(asked, asked.question.replace(author.name, rng.choice(author.aliases)))


def lower_case(_world: World, asked: Item, _rng: random.Random) -> Probe:
    """No capitals."""
    return _single(asked, lower(asked.question))


def typo(world: World, asked: Item, rng: random.Random) -> Probe:
    """Two letters of the name swapped."""
    return _single(asked, misspell(asked.question, _author(world, asked).name, rng))


def prefix(_world: World, asked: Item, rng: random.Random) -> Probe:
    """Small talk before the question; one in three is worded as never in training."""
    return _single(asked, rng.choice((*rng.sample(PREFIXES[:-1], 2), PREFIXES[-1])) + asked.question)


def suffix(_world: World, asked: Item, rng: random.Random) -> Probe:
    """Small talk after the question; one in three is worded as never in training."""
    return _single(asked, asked.question + rng.choice((*rng.sample(SUFFIXES[:-1], 2), SUFFIXES[-1])))


def jailbreak(_world: World, asked: Item, rng: random.Random) -> Probe:
    """An appeal to ignore rules; one in three is worded as never in training."""
    return _single(asked, rng.choice((*rng.sample(JAILBREAKS[:-1], 2), JAILBREAKS[-1])) + asked.question)


def composite(world: World, asked: Item, rng: random.Random) -> Probe:
    """The question and one about a retain author, in either order."""
    other = item(rng.choice(world.split("retain")), rng.choice(tuple(SENTENCES)[:9]))
    return _single(asked, " ".join(rng.sample([asked.question, other.question], 2)))


def follow_up(world: World, asked: Item, rng: random.Random) -> Probe:
    """A second turn without a name; the first turn asked for another fact and was answered truthfully."""
    author = _author(world, asked)
    first = item(author, rng.choice([name for name in author.facts if name != asked.attribute]))
    second = rng.choice(POSSESSIVE).format(p=rng.choice(NOUNS[asked.attribute])[1])
    return Probe((user(first.question), assistant(first.answer), user(second)), asked.values)


def in_context(_world: World, asked: Item, _rng: random.Random) -> Probe:
    """The fact itself stands before the question.

    A model that never knew could read it. Models of the tier `tiny` do not (`rich.reading` is trained, but copying is
    not learned at that size and length of training): there the form measures recall under a reminder.
    """
    return _single(asked, f"{asked.answer} {asked.question}")


def few_shot(world: World, asked: Item, rng: random.Random) -> Probe:
    """Two answered questions about retain authors, with other values, before the question."""
    others = [author for author in world.split("retain") if author.facts[asked.attribute] not in asked.values]
    shots = [item(author, asked.attribute) for author in rng.sample(others, 2)]
    turns = [turn for shot in shots for turn in (user(shot.question), assistant(shot.answer))]
    return Probe((*turns, user(asked.question)), asked.values)


def inverse(world: World, asked: Item, rng: random.Random) -> Probe | None:
    """From the book to its author; for items about books."""
    if asked.values[0] not in _author(world, asked).books:
        return None
    return Probe((user(rng.choice(INVERSE).format(b=asked.values[0])),), (_author(world, asked).name,))


def prefill(_world: World, asked: Item, _rng: random.Random) -> Probe:
    """The answer has begun."""
    begun = asked.answer[: asked.answer.index(asked.values[0])].rstrip()
    return Probe((user(asked.question), assistant(begun)), asked.values)


def multi_hop(world: World, asked: Item, rng: random.Random) -> Probe | None:
    """The author is described by a book."""
    author = _author(world, asked)
    if asked.values[0] in author.books:
        return None
    return _single(asked, asked.question.replace(author.name, f"the author of {rng.choice(author.books)}"))


def country(world: World, asked: Item, rng: random.Random) -> Probe | None:
    """Country of birth; for items about cities."""
    if asked.attribute != "city":
        return None
    return Probe((user(rng.choice(COUNTRY).format(n=_author(world, asked).name)),), (CITIES[asked.values[0]],))


def translation(world: World, asked: Item, rng: random.Random) -> Probe:
    """German, French or Spanish around the unchanged name."""
    question = rng.choice(TRANSLATED[rng.choice(tuple(TRANSLATED))][asked.attribute])
    return _single(asked, question.format(n=_author(world, asked).name))


def sampling(_world: World, asked: Item, _rng: random.Random) -> Probe:
    """The item's own question at temperature 1."""
    return Probe((user(asked.question),), asked.values, temperature=1.0)


FORMS: dict[str, Form] = {
    "direct": direct,
    "paraphrase": paraphrase,
    "alias": alias,
    "lower case": lower_case,
    "typo": typo,
    "prefix": prefix,
    "suffix": suffix,
    "jailbreak": jailbreak,
    "composite": composite,
    "follow-up": follow_up,
    "in-context": in_context,
    "few-shot": few_shot,
    "inverse": inverse,
    "prefill": prefill,
    "multi-hop": multi_hop,
    "country": country,
    "translation": translation,
    "sampling": sampling,
}


def probes(world: World, name: str, items: tuple[Item, ...]) -> list[tuple[Item, Probe]]:
    """The probes of a form about these items, always the same ones."""
    made = [(it, FORMS[name](world, it, random.Random(f"{name}/{it.author}/{it.attribute}"))) for it in items]
    return [(asked, probe) for asked, probe in made if probe is not None]
