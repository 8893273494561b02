"""ECO (arXiv 2406.07933): choose how strongly a policy's prompts are corrupted, then freeze it into a program.

The strength is searched so that answers under corruption are as far from the model's own answers as those of a
never-trained surrogate, and show forgotten values no more often: first a log grid over multiples of the mean embedding
norm with several seeds, then the paper's two-point zeroth-order step (section 3.4 there), here on the logarithm.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import fields, replace
from statistics import fmean

import numpy as np
import torch

from steering.engine.local.model import LocalModel
from steering.methods.surrogate import Question
from steering.methods.trial import QUESTIONS, Fitted, Point, Progress, Tells, Trial, distance
from steering.ops import NOISE_ROWS
from steering.program import EcoProgram, Program
from steering.spec import EcoSpec

NOISE_GRID = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # norm of the noise in mean embedding norms
SHARE_GRID = (0.25, 0.5, 0.75, 1.0)
SEEDS = 3
REFINEMENTS = 2
PROBE, STEP = 0.25, 0.5  # two-point distance and step size, in natural logarithms of the strength


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: EcoSpec,
    tells: Tells,
    progress: Progress,
    seed: int = 0,
    seeds: tuple[int, ...] = (),
) -> Fitted[Program]:
    """Search the strength of `spec` for `model` on `questions` and measure the result on held-out ones.

    `seeds`: offsets into the noise table to choose from; left out, three are drawn.

    `values` are all that must be forgotten; `tells(question, answer, values)` says whether the answer shows one of
    them. Raises ValueError when fewer than 8 questions name what must be forgotten.
    """
    usable = [q for q in questions if q.spans]
    if len(usable) < 8:
        raise ValueError(f"the search needs at least 8 example questions that hold a name; there are {len(usable)}")
    rng = random.Random(seed)
    rng.shuffle(usable)
    searched = usable[: min(QUESTIONS, len(usable) * 2 // 3)]
    checked = usable[len(searched) : len(searched) + QUESTIONS]
    search = _Search(model, spec, values, tells, searched, rng, progress, seeds)
    if spec.strength is None:
        best_seed, strength = search.run()
    else:
        best_seed, strength = search.seeds[0], spec.strength
        search.measure(strength)
    check = _Search(model, spec, values, tells, checked, rng, lambda *_: None, seeds=(best_seed,))
    measured = check.measure(strength)
    progress("searching the strength", 1.0)
    program = search.program(strength, best_seed)
    return Fitted(
        program=program,
        points=tuple(search.points),
        surrogate=search.trial.surrogate,
        check=measured,
        check_bare=check.trial.bare,
        check_surrogate=check.trial.surrogate,
        searched=len(searched),
        checked=len(checked),
    )


class _Search:
    """Strengths that were tried on some questions, and the figures of each."""

    def __init__(
        self,
        model: LocalModel,
        spec: EcoSpec,
        values: Sequence[str],
        tells: Tells,
        questions: Sequence[Question],
        rng: random.Random,
        progress: Progress,
        seeds: tuple[int, ...] = (),
    ) -> None:
        self.model, self.spec, self.progress = model, spec, progress
        self.seeds = seeds or tuple(rng.randrange(NOISE_ROWS) for _ in range(SEEDS))
        self.points: list[Point] = []
        self._by_seed: dict[tuple[float, int], float] = {}
        self._done = 0
        self.trial = Trial(model, spec.mask, values, tells, questions, rng)

    def run(self) -> tuple[int, float]:
        """Grid, then refinement. Returns (seed, strength) of the best point."""
        grid = NOISE_GRID if self.spec.kind == "noise" else SHARE_GRID
        for strength in grid:
            self.measure(strength)
        best = min(self.points, key=lambda p: p.distance)
        low, high = math.log(grid[0]), math.log(grid[-1])
        at = math.log(best.strength)
        for _ in range(REFINEMENTS if self.spec.kind == "noise" else 0):
            up, down = (self.measure(math.exp(at + sign * PROBE)).distance for sign in (1, -1))
            at = min(max(at - STEP * (up - down) / (2 * PROBE), low), high)
            self.measure(math.exp(at))
        best = min(self.points, key=lambda p: p.distance)
        seed = min(self.seeds, key=lambda s: self._by_seed[best.strength, s])
        return seed, best.strength

    def measure(self, strength: float) -> Point:
        """Mean over the seeds at one strength."""
        found = []
        for seed in self.seeds:
            point = self.trial.ask(self.program(strength, seed))
            point = replace(point, strength=strength, distance=distance(point, self.trial.surrogate))
            self._by_seed[strength, seed] = point.distance
            found.append(point)
            self._done += 1
            expected = len(self.seeds) * (len(NOISE_GRID) + 3 * REFINEMENTS)
            self.progress("searching the strength", min(0.99, self._done / expected))
        means = {field.name: fmean(getattr(p, field.name) for p in found) for field in fields(Point)[:-1]}
        mean = Point(**means, layer=None)
        self.points.append(mean)
        return mean

    def program(self, strength: float, seed: int) -> Program:
        """Resolve relative strength into the engine's absolute units."""
        weights = self.model.network.get_input_embeddings().weight.detach().float()
        noise = self.spec.kind == "noise"
        dims = min(self.spec.dims, weights.shape[1])
        # sigma * sqrt(n) is the norm of the noise, so that one grid fits every number of dimensions
        absolute = strength * float(weights.norm(dim=1).mean()) / math.sqrt(dims) if noise else min(strength, 1.0)
        substitute = np.zeros(weights.shape[1], np.float32)
        if self.spec.kind == "replace":
            ids = self.model.tokenizer(" " + self.spec.unknown, add_special_tokens=False)["input_ids"]
            substitute = weights[torch.tensor(ids)].mean(dim=0).cpu().numpy().astype(np.float32)
        eco = EcoProgram(
            kind=self.spec.kind,
            dims=dims,
            strength=absolute,
            seed=seed,
            model=self.model.fingerprint,
        )
        return Program(eco, substitute)
