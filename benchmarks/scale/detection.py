"""What the guard of N policies recognises, and what it takes for somebody it must forget; without any engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.probes.spec import Probe
from benchmarks.scale.intervals import share
from benchmarks.scale.levels import Group
from benchmarks.worlds.world import World
from gateway.conversation import collect
from guards.guard import Guard, Shared
from guards.verdict import TextPart, Verdict

ALPHA = 0.005
"""The gateway's default."""
NAMED = ("direct", "paraphrase", "pen_name", "typo_1")
UNNAMED = ("via_book", "no_name", "inverse_book", "inverse_facts")
"""Families that hold a name of the author, and families that only describe him or name a book."""


@dataclass(slots=True)
class Seen:
    """Decisions about the probes of one family, over all groups of a level: by the policy meant, and by any policy."""

    own: list[bool] = field(default_factory=list)
    any: list[bool] = field(default_factory=list)
    by_name: list[bool] = field(default_factory=list)

    def add(self, verdicts: Iterable[Verdict], own: str | None) -> None:
        """Note the verdicts about one request; `own` is the number of the policy that is meant, if any."""
        hits = [verdict for verdict in verdicts if verdict.flagged]
        self.own.append(any(verdict.policy == own for verdict in hits))
        self.any.append(bool(hits))
        self.by_name.append(any(verdict.source == "alias" for verdict in hits))


def texts(probe: Probe) -> list[TextPart]:
    """What the gateway gives to its guard of the first step of a probe that sends text only."""

    async def refuse(_ids: list[int]) -> str:
        raise ValueError(f"family {probe.family} sends token ids: its texts are known to an engine only")

    return asyncio.run(collect(dict(probe.steps[0]), refuse)).parts


def plain(text: str) -> list[TextPart]:
    """A chat of one message."""
    return [TextPart("/messages/0/content", "user", text)]


def detection(
    world: World,
    levels: Mapping[int, Sequence[Group]],
    attacks: Sequence[Probe],
    harmless: Sequence[Probe],
    general: Mapping[str, Sequence[str]],
    shared: Shared,
    done: Callable[[], None] = lambda: None,
) -> dict[int, dict[str, Any]]:
    """Per level: cutoff of the calibration, recall per family, and false positives per family of harmless texts.

    Args:
        attacks: probes about forget authors; at a level those are scanned whose author has a policy.
        harmless: probes about authors that nobody forgets.
        general: name -> other harmless texts.
        done: called after every group.

    The cutoff is in standard deviations of harmless texts; a classifier must exceed it to flag a request of one text.
    Where a level has several groups, false positives are counted over all of them, about the same texts.
    """
    places = {author.number: place for place, author in enumerate(world.split("forget"))}
    attack_texts = [(probe.family, places[probe.item.author], texts(probe)) for probe in attacks]
    usual = [(probe.family, texts(probe)) for probe in harmless]
    usual += [(name, plain(text)) for name, listed in general.items() for text in listed]
    found = {}
    for level, chosen in levels.items():
        recall: dict[str, Seen] = {}
        false: dict[str, Seen] = {}
        cutoffs = []
        for group in chosen:
            guard = Guard.from_parts({one.number: one.guard for one in group.active}, alpha=ALPHA, shared=shared)
            cutoffs.append(guard.calibration.cutoff)
            for family, place, parts in attack_texts:
                if place in group.places():
                    own = group.active[place - group.first].number
                    recall.setdefault(family, Seen()).add(guard.scan(parts), own)
            for family, parts in usual:
                false.setdefault(family, Seen()).add(guard.scan(parts), None)
            done()
        found[level] = {
            "groups": len(chosen),
            "cutoff": round(float(np.mean(cutoffs)), 3),
            "recall": {name: {"own": share(s.own), "any": share(s.any)} for name, s in recall.items()},
            "false_positives": {name: {"any": share(s.any), "by_name": share(s.by_name)} for name, s in false.items()},
        }
    return found
