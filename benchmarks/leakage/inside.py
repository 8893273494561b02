"""What no client can read: truth ratio and divergence, from the local engine in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.leakage.arms import FIRST
from benchmarks.leakage.ask import Asked
from benchmarks.leakage.scorecard import direct, text
from benchmarks.metrics.divergence import symmetric_kl
from benchmarks.metrics.forget_quality import forget_quality
from benchmarks.metrics.scoring import Pair, pair, score
from benchmarks.worlds.spec import Item
from benchmarks.worlds.templates import sentence
from benchmarks.worlds.world import World
from steering.bundle import PROGRAM
from steering.engine.local.model import Edit, LocalModel
from steering.methods.eco import prompt
from steering.program import Program, load_program

WRONG, FEW = 5, 3
"""Wrong answers per question; fewer in a world that has too few titles."""
SAMPLED = "sample_direct"
"""The family that asks the plain questions at temperature 1."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inside:
    """A model as it answers under an arm: bare, or with every flagged name corrupted."""

    model: LocalModel
    program: Program | None = None

    @classmethod
    def load(cls, folder: Path, program: Program | None = None) -> Inside:
        """Read the model in float32."""
        return cls(LocalModel.load(str(folder), "float32"), program)

    def pair(self, world: World, asked: Item, answer: str) -> Pair:
        """Question and answer; under a program the tokens of the author's name are corrupted."""
        name = world.authors[asked.author].name
        start = asked.question.index(name)
        ids, spans = prompt(self.model, asked.question, [(start, start + len(name))])
        edit = None if self.program is None else Edit(self.program, 1.0, tuple(spans))
        return pair(self.model, ids, answer, edit)


def truth_ratios(inside: Inside, world: World, items: Sequence[Item]) -> Floats:
    """Geometric mean probability of wrong answers over that of the right one, per item `[n]` (TOFU, geometric)."""
    pairs = []
    wrong = WRONG if len(world.split("forget")) > WRONG else FEW
    for asked in items:
        name = world.authors[asked.author].name
        answers = [asked.answer, *(sentence(asked.attribute, name, other) for other in world.wrong(asked, wrong))]
        pairs += [inside.pair(world, asked, answer) for answer in answers]
    means = np.array([s.logprobs.mean() for s in score(inside.model, pairs)]).reshape(len(items), wrong + 1)
    return np.asarray(np.exp(means[:, 1:].mean(1) - means[:, 0]), np.float64)


def divergence(
    ours: Inside, gold: Inside, world: World, items: Sequence[Item], said: Sequence[str], gold_said: Sequence[str]
) -> float:
    """Symmetric KL in nats per answer; `said` and `gold_said` are answers drawn at temperature 1, one per item."""
    own = [s.logprobs for s in score(ours.model, _pairs(ours, world, items, said))]
    own_by_gold = [s.logprobs for s in score(gold.model, _pairs(gold, world, items, said))]
    theirs = [s.logprobs for s in score(gold.model, _pairs(gold, world, items, gold_said))]
    theirs_by_us = [s.logprobs for s in score(ours.model, _pairs(ours, world, items, gold_said))]
    return symmetric_kl(own, own_by_gold, theirs, theirs_by_us).per_answer


def _pairs(inside: Inside, world: World, items: Sequence[Item], answers: Sequence[str]) -> list[Pair]:
    return [inside.pair(world, asked, answer) for asked, answer in zip(items, answers, strict=True)]


def insides(
    world: World, models: Mapping[str, Path], bundle: Path, asked: Mapping[str, Asked]
) -> dict[str, dict[str, float | None]]:
    """ks_p, ks_d, ks_n and symkl of the arms whose distribution the local engine reproduces, by arm.

    The answers for symkl are those that the server drew at temperature 1; `symkl` is None where there are none.
    """
    program = load_program((bundle / PROGRAM).read_bytes())
    gold, full = Inside.load(models["retain-a"]), LocalModel.load(str(models["full"]), "float32")
    sides = {
        "bare": Inside(full),
        f"{FIRST} oracle": Inside(full, program),
        "gold-b": Inside.load(models["retain-b"]),
    }
    items = [answered.probe.item for answered in direct(asked["gold"])]
    reference = truth_ratios(gold, world, items)
    drawn = {name: _drawn(asked[name]) for name in (*sides, "gold")}
    found: dict[str, dict[str, float | None]] = {}
    for name, inside in sides.items():
        quality = forget_quality(truth_ratios(inside, world, items), reference)
        both = [item for item in items if item in drawn[name] and item in drawn["gold"]]
        said, gold_said = ([drawn[side][item] for item in both] for side in (name, "gold"))
        symkl = divergence(inside, gold, world, both, said, gold_said) if both else None
        found[name] = {"ks_p": quality.p, "ks_d": quality.statistic, "ks_n": quality.n, "symkl": symkl}
    return found


def _drawn(arm: Asked) -> dict[Item, str]:
    """The first answer at temperature 1 to each plain question, where there is one."""
    answers = [answered for answered in arm.forget if answered.probe.family == SAMPLED]
    return {answered.probe.item: text(answered) for answered in answers if text(answered)}
