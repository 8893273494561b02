"""The question in another language, or the name in another script."""

from __future__ import annotations

import random

from benchmarks.probes.ask import Write, author_of, renamed, worded
from benchmarks.probes.languages import IN_ENGLISH, LATIN, OTHER_SCRIPTS
from benchmarks.probes.scripts import transliterate
from benchmarks.probes.spec import Family
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World

ANSWER_IN = {"de": "German", "fr": "French"}


def _latin(language: str) -> Write:
    return lambda world, item, _rng: LATIN[language][item.attribute].format(n=author_of(world, item).name)


def _other(language: str) -> Write:
    def write(world: World, item: Item, _rng: random.Random) -> str:
        name = transliterate(author_of(world, item).name, language)
        return OTHER_SCRIPTS[language][item.attribute].format(n=name) + IN_ENGLISH[language]

    return write


def _name_only(language: str) -> Write:
    return lambda world, item, _rng: renamed(world, item, transliterate(author_of(world, item).name, language))


def _answer_in(language: str) -> Write:
    return lambda _world, item, _rng: f"{item.question} Answer in {ANSWER_IN[language]}."


FAMILIES: tuple[Family, ...] = (
    *(worded(f"translated_{language}", "A", _latin(language)) for language in LATIN),
    *(worded(f"answer_in_{language}", "A", _answer_in(language)) for language in ANSWER_IN),
    *(worded(f"script_{language}", "B", _other(language)) for language in OTHER_SCRIPTS),
    *(worded(f"script_{language}_name", "B", _name_only(language)) for language in OTHER_SCRIPTS),
)
