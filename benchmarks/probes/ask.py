"""From what a family wants to say to a complete probe."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.probes.spec import CHAT, Class, Family, Probe
from benchmarks.worlds.spec import Author, Item, Split
from benchmarks.worlds.templates import NOUNS
from benchmarks.worlds.vocabulary import ATTRIBUTES
from benchmarks.worlds.world import World
from benchmarks.worlds.world import item as item_of

Body = dict[str, Any]
Write = Callable[[World, Item, random.Random], str | None]
"""Writes the only user message of a probe; None where it cannot."""

SAMPLES, HOT_SAMPLES = 16, 8
TOKENS = 32
"""Longest answer in tokens where a family does not need more."""
_PROTOCOL = frozenset({"role", "type", "tool_choice", "id", "tool_call_id", "strict", "reasoning_effort"})


@dataclass(frozen=True, slots=True)
class Ask:
    """What a family wants of a server; the fields are those of `Probe`.

    Attributes:
        question: None for all strings of the steps; otherwise what of them counts, without candidates or a context
            whose value is to be found in the answer all the same.
    """

    steps: tuple[Mapping[str, Any], ...]
    route: str = CHAT
    stream: bool = False
    question: str | None = None
    values: tuple[str, ...] = ()
    kept: Item | None = None
    candidates: tuple[str, ...] = ()
    item: Item | None = None


Make = Callable[[World, Item, random.Random], Ask | None]


def family(name: str, kind: Class, make: Make, samples: int = 1, words: int = 160) -> Family:
    """A family from a function that makes requests.

    Its probes are None where the client would have to say the very value that it asks for, since a value in the
    question is no leak.
    """

    def build(world: World, item: Item, rng: random.Random) -> Probe | None:
        ask = make(world, item, rng)
        if ask is None:
            return None
        question = said(ask.steps) if ask.question is None else ask.question
        asked = ask.item or item
        if any(holds(question, value) for value in ask.values or asked.values):
            return None
        return Probe(name, asked, ask.steps, ask.route, ask.stream, question, ask.values, ask.kept, ask.candidates)

    return Family(name, kind, build, samples, words)


def worded(name: str, kind: Class, write: Write, samples: int = 1, words: int = 160, **fields: Any) -> Family:
    """A family of one user message; `fields` are further fields of the body."""

    def make(world: World, item: Item, rng: random.Random) -> Ask | None:
        text = write(world, item, rng)
        return None if text is None else Ask((step(user(text), **fields),))

    return family(name, kind, make, samples, words)


def step(*messages: Mapping[str, Any], **fields: Any) -> Body:
    """A chat body: greedy and short unless `fields` say otherwise."""
    return {"messages": list(messages), "max_tokens": TOKENS, "temperature": 0.0, **fields}


def message(role: str, content: Any, **fields: Any) -> Body:
    """A message of a conversation."""
    return {"role": role, "content": content, **fields}


def user(text: str) -> Body:
    """A message of the user."""
    return message("user", text)


def author_of(world: World, item: Item) -> Author:
    """The author whom an item is about."""
    return world.authors[item.author]


def renamed(world: World, item: Item, name: str) -> str | None:
    """The item's question about the author under another name; None if the question does not name the author."""
    own = author_of(world, item).name
    return item.question.replace(own, name) if own in item.question else None


def opening(item: Item) -> str | None:
    """The beginning of the answer, up to the value; None for an answer that begins with it or does not hold it."""
    head, found, _ = item.answer.partition(item.values[0])
    return head.rstrip() or None if found else None


def candidates(world: World, item: Item, rng: random.Random, wrong: int = 5) -> tuple[str, ...]:
    """The truth among wrong values of the same attribute, in a random order; fewer in a world with few titles."""
    offered = [item.values[0], *world.wrong(item, wrong if len(world.split(item.split)) > wrong else 3)]
    rng.shuffle(offered)
    return tuple(offered)


def others(world: World, item: Item, rng: random.Random, count: int, split: Split = "retain") -> tuple[Item, ...]:
    """Items about other authors of a split, all of different authors, none with the value of the given one."""
    people = rng.sample([author for author in world.split(split) if author.number != item.author], count)
    return tuple(fact_of(author, item, rng) for author in people)


def fact_of(author: Author, item: Item, rng: random.Random) -> Item:
    """A fact of an author that is neither the item nor has its value."""
    own = author.number == item.author
    known = [a for a in ATTRIBUTES if author.facts[a] not in item.values and not (own and a == item.attribute)]
    return item_of(author, rng.choice(known))


def plain_noun(attribute: str) -> str:
    """A noun for the attribute that stands well before "of": no possessive."""
    return next(noun for noun, _ in NOUNS[attribute] if "'" not in noun)


def said(steps: tuple[Mapping[str, Any], ...]) -> str:
    """Every string in the bodies, one a line."""
    return "\n".join(text for body in steps for text in _strings(body))


def holds(text: str, value: str) -> bool:
    """Whether a value stands in the text as whole words, in any case."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _PROTOCOL:
                yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
