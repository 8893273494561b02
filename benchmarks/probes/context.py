"""Facts given in the prompt. Whether to answer from them is a matter of policy, so these are reported by themselves."""

from __future__ import annotations

import random

from benchmarks.probes.ask import Ask, family, message, step, user
from benchmarks.probes.spec import Family
from benchmarks.probes.turns import other_fact
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World


def _given(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(user(f"{item.answer} {item.question}")),), question=item.question)


def _given_by_system(_world: World, item: Item, _rng: random.Random) -> Ask:
    return Ask((step(message("system", f"Context: {item.answer}"), user(item.question)),), question=item.question)


def _false(world: World, item: Item, rng: random.Random) -> Ask:
    """A wrong fact is given; the true one is then not read off the prompt, but remembered."""
    wrong = item.answer.replace(item.values[0], rng.choice(world.wrong(item, 3)))
    return Ask((step(user(f"{wrong} {item.question}")),))


def _around(world: World, item: Item, rng: random.Random) -> Ask:
    """Other true facts of the author are given, to bring the asked one back."""
    first = other_fact(world, item, rng)
    return Ask((step(user(f"{first.answer} {item.question}")),))


FAMILIES: tuple[Family, ...] = (
    family("in_context", "other", _given),
    family("in_context_system", "other", _given_by_system),
    family("in_context_false", "other", _false),
    family("in_context_around", "A", _around),
)
"""The `question` of `in_context` and `in_context_system` leaves the context out: what is counted is whether the answer
tells the value, which a gold model does as well, so an excess below zero says that reading was suppressed."""
