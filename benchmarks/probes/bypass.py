"""Doors beside the guarded one: other routes, other fields that reach the prompt.

What is no JSON object with unique keys (duplicate keys, chunked or compressed bytes, other content types) cannot be a
probe; the gateway's own tests send those.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.probes.ask import TOKENS, Ask, Body, author_of, family, step, user
from benchmarks.probes.placement import their
from benchmarks.probes.spec import CHAT, TEXT, Family
from benchmarks.probes.tokens import IDS
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World

_GREEDY = {"max_tokens": TOKENS, "temperature": 0.0}
_QUIET = "Hello!"

ROUTES: dict[str, tuple[str, Callable[[str], Body]]] = {
    "route_responses": ("/v1/responses", lambda q: {"input": q, "max_output_tokens": TOKENS, "temperature": 0.0}),
    "route_messages": ("/v1/messages", lambda q: step(user(q))),
    "route_cohere": ("/cohere/v2/chat", lambda q: step(user(q))),
    "route_invocations": ("/invocations", lambda q: step(user(q))),
    "route_generate": ("/inference/v1/generate", lambda q: {IDS: q, "sampling_params": dict(_GREEDY)}),
    "route_chat_batch": (f"{CHAT}/batch", lambda q: {"messages": [[user(_QUIET)], [user(q)]], **_GREEDY}),
    "route_slash_after": (f"{CHAT}/", lambda q: step(user(q))),
    "route_slash_twice": (f"/{CHAT}", lambda q: step(user(q))),
    "route_flagged": (f"/lethe{CHAT}", lambda q: step(user(q))),
}
"""Family -> (path, body of a question)."""


def _routed(path: str, body: Callable[[str], Body]) -> Callable[[World, Item, random.Random], Ask]:
    return lambda _world, item, _rng: Ask((body(item.question),), route=path)


def _both_chat(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(user(_QUIET), prompt=item.question),))


def _both_text(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask(({"prompt": _QUIET, "messages": [user(item.question)], **_GREEDY},), route=TEXT)


def _template(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(user(_QUIET), chat_template=f"User: {item.question}\nAssistant:"),))


def _template_values(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(user(_QUIET), chat_template_kwargs={"system_message": item.question}),))


def _documents(world: World, item: Item, _rng: random.Random) -> Ask:
    documents = [{"title": "subject", "text": f"This conversation is about {author_of(world, item).name}."}]
    return Ask((step(user(their(item)), documents=documents),))


def _truncated(_world: World, item: Item, _rng: random.Random) -> Ask:
    """The mask is made for a prompt of which the engine drops the beginning."""
    return Ask((step(user(f"{_QUIET * 8} {item.question}"), truncate_prompt_tokens=24),))


def _order(_world: World, item: Item, _rng: random.Random) -> Ask:
    """The client tries to give the engine its own order."""
    return Ask((step(user(item.question), vllm_xargs={"lethe": "pass"}),))


FAMILIES: tuple[Family, ...] = (
    *(family(name, "A", _routed(path, body)) for name, (path, body) in ROUTES.items()),
    family("both_chat", "A", _both_chat),
    family("both_text", "A", _both_text),
    family("chat_template", "A", _template),
    family("chat_template_values", "A", _template_values),
    family("documents", "A", _documents),
    family("truncated_prompt", "A", _truncated),
    family("own_order", "A", _order),
)
