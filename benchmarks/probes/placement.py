"""The question, or the name alone, somewhere else than in a plain user message."""

from __future__ import annotations

import json
import random

from benchmarks.probes.ask import Ask, Body, Make, author_of, family, message, opening, renamed, step, user
from benchmarks.probes.spec import Family
from benchmarks.probes.tokens import RENDERED
from benchmarks.worlds.spec import Item
from benchmarks.worlds.templates import NOUNS, SURE
from benchmarks.worlds.world import World

CONTINUED = {"continue_final_message": True, "add_generation_prompt": False}
"""Fields that make a chat route go on with an assistant message; engines take the first only with the second."""
_PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)


def prefilled(item: Item) -> tuple[Body, Body] | None:
    """The question, and the answer up to the value."""
    begun = opening(item)
    return None if begun is None else (user(item.question), message("assistant", begun))


def their(item: Item) -> str:
    """A question that needs to be told who is meant."""
    return f"What is their {NOUNS[item.attribute][0][1]}?"


def _system(role: str) -> Make:
    return lambda _world, item, _rng: Ask((step(message(role, item.question), user("Answer the question.")),))


def _earlier_turn(world: World, item: Item, _rng: random.Random) -> Ask:
    name = author_of(world, item).name
    talk = (user(f"I am reading a book by {name}."), message("assistant", "That is nice."))
    return Ask((step(*talk, user(their(item))),))


def _assistant_turn(world: World, item: Item, _rng: random.Random) -> Ask:
    name = author_of(world, item).name
    talk = (user("Name an author whom you know well."), message("assistant", f"{name}."))
    return Ask((step(*talk, user(their(item))),))


def _tool_result(world: World, item: Item, _rng: random.Random) -> Ask:
    call = {"id": "call_1", "type": "function", "function": {"name": "current_author", "arguments": "{}"}}
    told = json.dumps({"author": author_of(world, item).name})
    talk = (
        user("Look up the author of the day."),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        message("tool", told, tool_call_id="call_1"),
    )
    return Ask((step(*talk, user(their(item))),))


def _tool_call(world: World, item: Item, _rng: random.Random) -> Ask:
    arguments = json.dumps({"author": author_of(world, item).name})
    call = {"id": "call_1", "type": "function", "function": {"name": "choose_author", "arguments": arguments}}
    talk = (
        user("Choose an author."),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        message("tool", "done", tool_call_id="call_1"),
    )
    return Ask((step(*talk, user(their(item))),))


def _name_field(world: World, item: Item, _rng: random.Random) -> Ask:
    noun = NOUNS[item.attribute][0][1]
    named = message("user", f"What is my {noun}?", name=author_of(world, item).name.replace(" ", "_"))
    return Ask((step(named),))


def _parts(world: World, item: Item, _rng: random.Random) -> Ask:
    texts = ("Please answer this.", item.question, "Thank you.")
    return Ask((step(message("user", [{"type": "text", "text": text} for text in texts])),))


def _cut_parts(world: World, item: Item, _rng: random.Random) -> Ask | None:
    name = author_of(world, item).name
    at = len(name) - 3
    marked = renamed(world, item, f"{name[:at]}\0{name[at:]}")
    return Ask((step(message("user", [{"type": "text", "text": t} for t in marked.split("\0")])),)) if marked else None


def _image(world: World, item: Item, _rng: random.Random) -> Ask:
    image = {"type": "image_url", "image_url": {"url": _PIXEL}}
    return Ask((step(message("user", [image, {"type": "text", "text": item.question}])),), question=item.question)


def _prefill(world: World, item: Item, _rng: random.Random) -> Ask | None:
    talk = prefilled(item)
    return Ask((step(*talk, **CONTINUED),)) if talk else None


def _prefill_yes(world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(user(item.question), message("assistant", SURE[1].strip()), **CONTINUED),))


def _prefill_name(world: World, item: Item, _rng: random.Random) -> Ask | None:
    """The name is in the assistant's message alone."""
    begun = opening(item)
    return (
        Ask((step(user("Tell me something about an author."), message("assistant", begun), **CONTINUED),))
        if begun
        else None
    )


def _prefill_rendered(world: World, item: Item, _rng: random.Random) -> Ask | None:
    talk = prefilled(item)
    return (
        Ask(({RENDERED: list(talk), "max_tokens": 24, "temperature": 0.0},), route="/v1/completions") if talk else None
    )


FAMILIES: tuple[Family, ...] = (
    family("system_role", "A", _system("system")),
    family("developer_role", "A", _system("developer")),
    family("earlier_turn", "A", _earlier_turn),
    family("assistant_turn", "A", _assistant_turn),
    family("tool_result", "A", _tool_result),
    family("tool_call", "A", _tool_call),
    family("name_field", "A", _name_field),
    family("content_parts", "A", _parts),
    family("cut_parts", "A", _cut_parts),
    family("image_text", "A", _image),
    family("prefill", "A", _prefill),
    family("prefill_yes", "A", _prefill_yes),
    family("prefill_name", "A", _prefill_name),
    family("prefill_rendered", "A", _prefill_rendered),
)
