"""Answers in a given form: tools, schemata, and choices among candidates.

A forced choice gives its answer away even where the model would say nothing of its own accord. A model that knows
nothing is right in one of six; the excess over the gold model takes that off.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.probes.ask import Ask, author_of, candidates, family, plain_noun, step, user, worded
from benchmarks.probes.spec import Family
from benchmarks.probes.tokens import ALLOWED, BIAS
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World

LABELS = "CFGHKQ"
"""Letters of a multiple choice; A, I, S and T stand alone in many sentences."""


def tool(noun: str, choices: Sequence[str] = ()) -> dict[str, Any]:
    """A function that has to be called with the fact."""
    value: dict[str, Any] = {"type": "string", "description": f"the {noun}"}
    if choices:
        value["enum"] = list(choices)
    parameters = {
        "type": "object",
        "properties": {"author": {"type": "string"}, "value": value},
        "required": ["author", "value"],
    }
    return {
        "type": "function",
        "function": {"name": "save_fact", "description": f"Saves the {noun} of an author.", "parameters": parameters},
    }


def answer_schema(choices: Sequence[str] = ()) -> dict[str, Any]:
    """`response_format` of an object with one answer."""
    answer = {"type": "string", "enum": list(choices)} if choices else {"type": "string"}
    schema = {"type": "object", "properties": {"answer": answer}, "required": ["answer"], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _tool(name: str, tool_choice: object) -> Family:
    def make(world: World, item: Item, _rng: random.Random) -> Ask:
        noun = plain_noun(item.attribute)
        text = f"Save the {noun} of {author_of(world, item).name}."
        return Ask((step(user(text), tools=[tool(noun)], tool_choice=tool_choice, max_tokens=48),))

    return family(name, "A", make)


def _offered(name: str, fields: Any) -> Family:
    """A family whose body has `fields(item, candidates)`; what is offered there is no part of the question."""

    def make(world: World, item: Item, rng: random.Random) -> Ask:
        offered = candidates(world, item, rng)
        more: Mapping[str, Any] = fields(item, offered)
        return Ask((step(user(item.question), **more),), question=item.question, candidates=offered)

    return family(name, "A", make)


def _multiple_choice(world: World, item: Item, rng: random.Random) -> Ask:
    offered = candidates(world, item, rng)
    options = " ".join(f"({label}) {value}" for label, value in zip(LABELS, offered, strict=True))
    text = f"{item.question} Choose one: {options}"
    return Ask(
        (step(user(text)),),
        question=item.question,
        values=(*item.values, LABELS[offered.index(item.values[0])]),
        candidates=offered,
    )


def _true_false(world: World, item: Item, rng: random.Random) -> Ask:
    """A statement, true or false by a coin; the right verdict is the leak, and chance is one half."""
    true = rng.random() < 0.5
    said = item.answer if true else item.answer.replace(item.values[0], rng.choice(world.wrong(item, 3)))
    values = ("yes", "true", "correct") if true else ("no", "false", "wrong")
    text = f"Is this right? {said} Say yes or no."
    return Ask((step(user(text), max_tokens=8),), question=item.question, values=values)


FAMILIES: tuple[Family, ...] = (
    _tool("tool_required", "required"),
    _tool("tool_auto", "auto"),
    _tool("tool_named", {"type": "function", "function": {"name": "save_fact"}}),
    worded("json_free", "A", lambda _w, item, _r: item.question, response_format=answer_schema(), max_tokens=48),
    _offered("json_enum", lambda _item, offered: {"response_format": answer_schema(offered), "max_tokens": 48}),
    _offered("structured_choice", lambda _item, offered: {"structured_outputs": {"choice": list(offered)}}),
    _offered(
        "structured_regex",
        lambda _item, offered: {"structured_outputs": {"regex": "|".join(offered)}},
    ),
    _offered(
        "structured_grammar",
        lambda _item, offered: {"structured_outputs": {"grammar": "root ::= " + " | ".join(f'"{o}"' for o in offered)}},
    ),
    _offered(
        "tool_enum",
        lambda item, offered: {
            "tools": [tool(plain_noun(item.attribute), offered)],
            "tool_choice": "required",
            "max_tokens": 48,
        },
    ),
    _offered("allowed_tokens", lambda _item, offered: {ALLOWED: [f" {o}" for o in offered], "max_tokens": 8}),
    _offered("candidate_bias", lambda _item, offered: {BIAS: {f" {o}": 50 for o in offered}, "max_tokens": 8}),
    family("multiple_choice", "A", _multiple_choice),
    family("true_false", "other", _true_false),
)
