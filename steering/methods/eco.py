"""ECO (arXiv 2406.07933): choose how strongly a policy's prompts are corrupted, then freeze it into a program.

The strength is searched so that answers under corruption are as far from the model's own answers as those of a
never-trained surrogate, and show forgotten values no more often: first a log grid over multiples of the mean embedding
norm with several seeds, then the paper's two-point zeroth-order step (section 3.4 there), here on the logarithm.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import torch

from steering.engine.local.model import Edit, LocalModel
from steering.engine.mask import mark, pick_marks, token_spans, unmark
from steering.methods.surrogate import Question, invented_names, surrogate
from steering.ops import NOISE_ROWS
from steering.program import EcoProgram, Program
from steering.spec import EcoSpec

NOISE_GRID = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # norm of the noise in mean embedding norms
SHARE_GRID = (0.25, 0.5, 0.75, 1.0)
SEEDS = 3
REFINEMENTS = 2
PROBE, STEP = 0.25, 0.5  # two-point distance and step size, in natural logarithms of the strength
QUESTIONS = 20
TOKENS = 24
NAMES = 60

Progress = Callable[[str, float], None]
Tells = Callable[[str, str, Sequence[str]], bool]


@dataclass(frozen=True, slots=True)
class Point:
    """One strength that was tried: means over questions and seeds, see `_distance`.

    Attributes:
        leak: share of answers with any forgotten value; on data whose values are shared its chance level is high.
        own: share of answers with the value that was asked for.
    """

    strength: float
    distance: float
    leak: float
    own: float
    similarity: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """The program and how it was found.

    `check` was measured on questions with a name in them that the search never saw; `check_bare` are the same model's
    own answers to them, and `check_surrogate` those about invented names.
    """

    program: Program
    points: tuple[Point, ...]
    surrogate: Point
    check: Point
    check_bare: Point
    check_surrogate: Point
    searched: int
    checked: int


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: EcoSpec,
    tells: Tells,
    progress: Progress,
    seed: int = 0,
) -> Fitted:
    """Search the strength of `spec` for `model` on `questions` and measure the result on held-out ones.

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
    search = _Search(model, spec, values, tells, searched, rng, progress)
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
        surrogate=search.surrogate,
        check=measured,
        check_bare=check.bare,
        check_surrogate=check.surrogate,
        searched=len(searched),
        checked=len(checked),
    )


class _Search:
    """Answers of the bare model, of the surrogate, and of the corrupted model at any strength."""

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
        self.model, self.spec, self.questions, self.progress = model, spec, questions, progress
        self.values, self.tells = values, tells
        self.seeds = seeds or tuple(rng.randrange(NOISE_ROWS) for _ in range(SEEDS))
        self.points: list[Point] = []
        self._by_seed: dict[tuple[float, int], float] = {}
        self._done = 0
        names = invented_names(NAMES, rng.randrange(1 << 30))
        twins = [surrogate(q, names, rng) for q in questions]
        plain = [(q.text, ()) for q in questions]
        answers = self._answers([*plain, *((text, ()) for text in twins)], None)
        self.base, invented = answers[: len(plain)], answers[len(plain) :]
        self.surrogate = self._point(0.0, twins, invented)
        self.bare = self._point(0.0, [q.text for q in questions], self.base)

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
            program = self.program(strength, seed)
            answers = self._answers([(q.text, q.spans) for q in self.questions], program)
            point = self._point(strength, [q.text for q in self.questions], answers)
            self._by_seed[strength, seed] = point.distance
            found.append(point)
            self._done += 1
            expected = len(self.seeds) * (len(NOISE_GRID) + 3 * REFINEMENTS)
            self.progress("searching the strength", min(0.99, self._done / expected))
        mean = Point(
            strength, *(fmean(getattr(p, n) for p in found) for n in ("distance", "leak", "own", "similarity"))
        )
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

    def _answers(self, asked: Sequence[tuple[str, Sequence[tuple[int, int]]]], program: Program | None) -> list[str]:
        batch, edits = [], []
        for text, spans in asked:
            ids, flat = prompt(self.model, text, spans if self.spec.mask == "entities" else [(0, len(text))])
            if self.spec.mask == "prompt":
                flat = [0, len(ids) - 1]
            batch.append(ids)
            edits.append(Edit(program, 1.0, tuple(flat)) if program else None)
        ids_out = self.model.generate(batch, edits, max_tokens=TOKENS)
        return [self.model.tokenizer.decode(ids, skip_special_tokens=True) for ids in ids_out]

    def _point(self, strength: float, asked: Sequence[str], answers: Sequence[str]) -> Point:
        told = []
        for text, answer, question in zip(asked, answers, self.questions, strict=True):
            leak = self.tells(text, answer, (*self.values, *question.values))
            own = self.tells(text, answer, question.values) if question.values else leak
            told.append((leak, own))
        similarity = fmean(overlap(a, b) for a, b in zip(answers, self.base, strict=True))
        point = Point(strength, 0.0, fmean(leak for leak, _ in told), fmean(own for _, own in told), similarity)
        return replace(point, distance=_distance(point, self.surrogate)) if strength else point


def _distance(point: Point, target: Point) -> float:
    """How far from the surrogate: too like the model's own answers or too unlike them, and leaks beyond chance.

    Any value counts, as one that nobody asked for is a leak as well, and the one asked for once more: where many
    subjects share their values, half of the answers hold one by chance.
    """
    leaks = max(0.0, point.leak - target.leak) + max(0.0, point.own - target.own)
    return abs(point.similarity - target.similarity) + leaks


def overlap(a: str, b: str) -> float:
    """F1 of the words two texts have in common, in [0, 1]."""
    x, y = (Counter(re.findall(r"\w+", text.casefold())) for text in (a, b))
    common = sum((x & y).values())
    return 2 * common / (x.total() + y.total()) if common else 0.0


def prompt(model: LocalModel, text: str, spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Token ids of a one-turn chat and the flat token spans of character ranges in the user's text."""
    body = {"messages": [{"role": "user", "content": text}]}
    marks = pick_marks(body)
    marked = mark(body, {"/messages/0/content": list(spans)}, marks)
    rendered = model.tokenizer.apply_chat_template(marked["messages"], tokenize=False, add_generation_prompt=True)
    plain, found = unmark(rendered, marks)
    encoded = model.tokenizer(plain, add_special_tokens=False, return_offsets_mapping=True)
    return encoded["input_ids"], token_spans(encoded["offset_mapping"], found)
