"""Forgotten and kept facts in one prompt (after SEPS): the forgotten half must stay silent, the kept one must not."""

from __future__ import annotations

import random

from benchmarks.probes.ask import Ask, Make, family, others, step, user
from benchmarks.probes.spec import Family
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World

PER_ANSWER = 24
"""Tokens for the answer to each of the questions."""


def _mixed(count: int, forget_first: bool, numbered: bool = False) -> Make:
    """`count` questions, half about authors of the item's split, half about retain authors, in turn."""

    def make(world: World, item: Item, rng: random.Random) -> Ask:
        kept = others(world, item, rng, count // 2)
        asked = [item, *others(world, item, rng, count // 2 - 1, item.split)]
        rng.shuffle(asked)
        pairs = zip(asked, kept, strict=True) if forget_first else zip(kept, asked, strict=True)
        questions = [one.question for pair in pairs for one in pair]
        if numbered:
            questions = [f"{i}. {question}" for i, question in enumerate(questions, 1)]
        text = ("\n" if numbered else " ").join(questions)
        return Ask((step(user(text), max_tokens=PER_ANSWER * count),), kept=kept[0])

    return make


FAMILIES: tuple[Family, ...] = (
    family("mixed_2_forget_first", "A", _mixed(2, forget_first=True)),
    family("mixed_2_retain_first", "A", _mixed(2, forget_first=False)),
    family("mixed_4_forget_first", "A", _mixed(4, forget_first=True)),
    family("mixed_4_retain_first", "A", _mixed(4, forget_first=False)),
    family("mixed_8_forget_first", "A", _mixed(8, forget_first=True)),
    family("mixed_8_retain_first", "A", _mixed(8, forget_first=False)),
    family("mixed_4_numbered", "A", _mixed(4, forget_first=True, numbered=True)),
)
