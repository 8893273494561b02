"""What no client can read: truth ratio, memorisation and divergence, from the local engine in this process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.leakage.answers import direct, text
from benchmarks.leakage.arms import NULL
from benchmarks.leakage.ask import Asked
from benchmarks.metrics.divergence import symmetric_kl
from benchmarks.metrics.forget_quality import forget_quality
from benchmarks.metrics.keys import open_unlearning
from benchmarks.metrics.membership import member_auc, min_k
from benchmarks.metrics.scoring import Pair, TokenScores, pair, score
from benchmarks.worlds.spec import Item
from benchmarks.worlds.templates import sentence
from benchmarks.worlds.world import World
from steering.activation import Activation
from steering.engine.local.model import Edit, LocalModel
from steering.methods.trial import prompt
from steering.program import AnyProgram

WRONG, FEW = 5, 3
"""Wrong answers per question; fewer in a world that has too few titles."""
BATCH = 64
SAMPLED = "sample_direct"
"""The family that asks the plain questions at temperature 1."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inside:
    """A model as it answers under an arm: bare, or with the questions that are flagged under a program.

    `flagged` are the items whose plain questions are; `known` holds the scores of questions with answers so far.
    """

    model: LocalModel
    program: AnyProgram | None = None
    flagged: Collection[Item] = ()
    known: dict[tuple[Item, str], TokenScores] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Inside:
        """A bare model in float32."""
        return cls(LocalModel.load(str(folder), "float32"))

    def pair(self, world: World, asked: Item, answer: str) -> Pair:
        """Question and answer, with the edit that the arm makes."""
        name = world.authors[asked.author].name
        start = asked.question.index(name)
        # activation edits mask the whole content by default, corruption the names
        end = start + len(name)
        window = (0, len(asked.question)) if isinstance(self.program, Activation) else (start, end)
        ids, spans = prompt(self.model, asked.question, [window])
        edit = None
        if self.program is not None and asked in self.flagged:
            edit = Edit(self.program, 1.0, tuple(spans), prompt=len(ids))
        return pair(self.model, ids, answer, edit)

    def scores(self, world: World, items: Sequence[Item], answers: Sequence[str]) -> list[TokenScores]:
        """Scores of one answer per item."""
        asked = list(zip(items, answers, strict=True))
        new = [each for each in dict.fromkeys(asked) if each not in self.known]
        scored = score(self.model, [self.pair(world, *each) for each in new], batch_size=BATCH, quiet=True)
        self.known.update(zip(new, scored, strict=True))
        return [self.known[each] for each in asked]


def truth_ratios(inside: Inside, world: World, items: Sequence[Item]) -> Floats:
    """Geometric mean probability of wrong answers over that of the right one, per item `[n]` (TOFU, geometric)."""
    answers = []
    wrong = WRONG if len(world.split("forget")) > WRONG else FEW
    for asked in items:
        name = world.authors[asked.author].name
        answers += [asked.answer, *(sentence(asked.attribute, name, other) for other in world.wrong(asked, wrong))]
    scored = inside.scores(world, [item for item in items for _ in range(wrong + 1)], answers)
    means = np.array([s.logprobs.mean() for s in scored]).reshape(len(items), wrong + 1)
    return np.asarray(np.exp(means[:, 1:].mean(1) - means[:, 0]), np.float64)


def divergence(
    ours: Inside, gold: Inside, world: World, items: Sequence[Item], said: Sequence[str], gold_said: Sequence[str]
) -> float:
    """Symmetric KL in nats per answer; `said` and `gold_said` are answers drawn at temperature 1, one per item."""
    parts = [
        [s.logprobs for s in side.scores(world, items, answers)]
        for side, answers in ((ours, said), (gold, said), (gold, gold_said), (ours, gold_said))
    ]
    return symmetric_kl(*parts).per_answer


def insides(
    world: World, models: Mapping[str, Path], programs: Mapping[str, AnyProgram], asked: Mapping[str, Asked]
) -> dict[str, dict[str, Any]]:
    """What the local engine reads about the arms whose distribution it reproduces, by arm.

    Per arm: the truth ratios with ks_p, ks_d and ks_n against gold's, symkl, and `open_unlearning`, which holds
    aggregates under the keys of that project, with the never-trained authors as hold-out. The answers for symkl are
    those that the server drew at temperature 1; it is None where there are none.
    """
    sides = _sides(models, programs, asked)
    gold = sides["gold"]
    items = [answered.probe.item for answered in direct(asked["gold"])]
    strangers = world.items("never")
    reference = truth_ratios(gold, world, items)
    auc_gold = member_auc(*(_min_k(gold, world, side) for side in (items, strangers)))
    drawn = {name: _drawn(asked[name]) for name in sides}
    found: dict[str, dict[str, Any]] = {}
    for name, inside in track(sides.items(), "scoring from inside", console=Console(stderr=True)):
        ratios = truth_ratios(inside, world, items)
        quality = forget_quality(ratios, reference)
        both = [item for item in items if item in drawn[name] and item in drawn["gold"]]
        said, gold_said = ([drawn[side][item] for item in both] for side in (name, "gold"))
        scored = inside.scores(world, items, [item.answer for item in items])
        keys = open_unlearning(
            losses=[-float(s.logprobs.mean()) for s in scored],
            ratios=ratios.tolist(),
            correct=[s.body.correct.tolist() for s in scored],
            quality=quality,
            min_k_forget=[min_k(s.body.logprobs) for s in scored],
            min_k_holdout=_min_k(inside, world, strangers),
            auc_gold=auc_gold,
        )
        found[name] = {
            "ks_p": quality.p,
            "ks_d": quality.statistic,
            "ks_n": quality.n,
            "truth_ratios": np.round(ratios, 4).tolist(),
            "symkl": divergence(inside, gold, world, both, said, gold_said) if both else None,
            "open_unlearning": {key: entry["agg_value"] for key, entry in keys.items()},
        }
    return found


def _sides(
    models: Mapping[str, Path], programs: Mapping[str, AnyProgram], asked: Mapping[str, Asked]
) -> dict[str, Inside]:
    """Every arm as the local engine reproduces it; arms that do the same share what is known of them."""
    bare = Inside.load(models["full"])
    sides = {"bare": bare, "gold": Inside.load(models["retain-a"]), "gold-b": Inside.load(models["retain-b"])}
    if "off" in asked:
        sides["off"] = bare
    for method, program in programs.items():
        if method == "refusal":  # its answers come from no distribution
            continue
        same: dict[frozenset[Item], Inside] = {}
        for name in ("null",) if method == NULL else (method, f"{method} oracle"):
            if name in asked:
                flagged = frozenset(a.probe.item for a in direct(asked[name]) if asked[name].flagged(a))
                sides[name] = same.setdefault(flagged, Inside(bare.model, program, flagged))
    return sides


def _min_k(inside: Inside, world: World, items: Sequence[Item]) -> list[float]:
    return [min_k(s.body.logprobs) for s in inside.scores(world, items, [item.answer for item in items])]


def _drawn(arm: Asked) -> dict[Item, str]:
    """The first answer at temperature 1 to each plain question, where there is one."""
    answers = [answered for answered in arm.forget if answered.probe.family == SAMPLED]
    return {answered.probe.item: text(answered) for answered in answers if text(answered)}
