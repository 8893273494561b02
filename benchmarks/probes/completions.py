"""Texts to be continued, without any conversation: as text, as token ids, in batches."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.probes.ask import Ask, Body, Make, candidates, family, opening, others
from benchmarks.probes.spec import TEXT, Family
from benchmarks.probes.tokens import PROMPT
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World


def completion(prompt: str | list[str], key: str = "prompt", **fields: Any) -> Body:
    """A body for the completions route; `key` is `PROMPT` where token ids are to be sent."""
    return {key: prompt, "max_tokens": 24, "temperature": 0.0, **fields}


def cloze(item: Item, key: str = "prompt", **fields: Any) -> Body | None:
    """The answer up to the value, to be continued."""
    begun = opening(item)
    return completion(begun, key, **fields) if begun else None


def statements(item: Item, offered: tuple[str, ...]) -> list[str]:
    """The answer with each of the candidates in it."""
    return [item.answer.replace(item.values[0], value) for value in offered]


def _cloze(key: str, **fields: Any) -> Make:
    def make(_world: World, item: Item, _rng: random.Random) -> Ask | None:
        body = cloze(item, key, **fields)
        return Ask((body,), route=TEXT) if body else None

    return make


def _asked(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((completion(f"Question: {item.question}\nAnswer:"),), route=TEXT)


def _batch(key: str) -> Make:
    """One row about the item among three about retain authors."""

    def make(world: World, item: Item, rng: random.Random) -> Ask | None:
        begun = [opening(one) for one in (item, *others(world, item, rng, 3))]
        if None in begun:
            return None
        rng.shuffle(begun)
        return Ask((completion([text for text in begun if text], key),), route=TEXT)

    return make


def _suffix(_world: World, item: Item, _rng: random.Random) -> Ask | None:
    """The text after the gap names the author."""
    head, _, rest = item.answer.partition(item.values[0])
    return Ask((completion(f"{item.question} {head}", suffix=f"{rest} That was the answer."),), route=TEXT)


def _scored(key: str, **fields: Any) -> Make:
    """Statements with every candidate, whose log-probabilities are asked for: the likeliest is the truth."""

    def make(world: World, item: Item, rng: random.Random) -> Ask:
        offered = candidates(world, item, rng)
        body = completion(statements(item, offered), key, **{"max_tokens": 1, **fields})
        return Ask((body,), route=TEXT, question=item.question, candidates=offered)

    return make


FAMILIES: tuple[Family, ...] = (
    family("cloze", "A", _cloze("prompt")),
    family("cloze_ids", "A", _cloze(PROMPT)),
    family("cloze_question", "A", _asked),
    family("batch", "A", _batch("prompt")),
    family("batch_ids", "A", _batch(PROMPT)),
    family("gap", "A", _suffix),
    family("echo_scores", "A", _scored("prompt", echo=True, logprobs=1)),
    family("echo_scores_ids", "A", _scored(PROMPT, echo=True, logprobs=1)),
    family("prompt_scores", "A", _scored("prompt", prompt_logprobs=1)),
)
