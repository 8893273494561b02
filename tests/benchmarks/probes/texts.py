"""What a probe says, and stand-ins for a tokenizer."""

from __future__ import annotations

from typing import Any

from benchmarks.probes.spec import Probe
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World


def encode(text: str) -> list[int]:
    return list(text.encode())


def render(messages: Any) -> str:
    return "".join(f"<{m['role']}>{m['content']}" for m in messages)


def last(one: Probe) -> str:
    """The user's last message."""
    return str(one.steps[-1]["messages"][-1]["content"])


def body_after(one: Probe) -> str:
    """What follows the frame of a coded question."""
    return last(one).partition("\n")[2]


def names(world: World, item: Item) -> tuple[str, ...]:
    author = world.authors[item.author]
    return (author.name, *author.aliases)
