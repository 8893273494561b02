"""What is asked: the same wordings about authors to be forgotten, about strangers, and about everybody else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.leakage.policy import harmless_authors
from benchmarks.probes.registry import FAMILIES, probes
from benchmarks.worlds.spec import Split
from benchmarks.worlds.world import World

WORDINGS = ("direct", "paraphrase", "reworded", "lower_case", "polite_prefix")
"""Probe families of one short user message that a guard should recognise: five times 216 questions on either side."""


@dataclass(frozen=True, slots=True)
class Question:
    """One chat.

    Attributes:
        group: the author's place in its split. The i-th author of every split is in the same group, so that the folds
            of a classifier hold both sides, and no author is in training and test.
        name: wording and attribute; the same for the same question about another author.
        body: fields of the request but model and streaming.
    """

    split: Split
    group: int
    name: str
    body: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, int, str]:
        """What makes it the same question on two servers."""
        return self.split, self.group, self.name


def questions(world: World, split: Split, wordings: Sequence[str] = WORDINGS) -> list[Question]:
    """All questions of the wordings about all authors of a split."""
    return _questions(world, split, {author.number for author in world.split(split)}, wordings)


def harmless(world: World, wordings: Sequence[str] = WORDINGS) -> list[Question]:
    """The same about the authors that stay and that no fit has seen."""
    return _questions(world, "retain", harmless_authors(world), wordings)


def _questions(world: World, split: Split, authors: Collection[int], wordings: Sequence[str]) -> list[Question]:
    place = {author.number: i for i, author in enumerate(world.split(split))}
    items = [item for item in world.items(split) if item.author in authors]
    return [
        Question(split, place[probe.item.author], f"{wording}/{probe.item.attribute}", probe.steps[0])
        for wording in wordings
        for probe in probes(FAMILIES[wording], world, items)
    ]
