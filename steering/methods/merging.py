"""Searching how strongly assistants count: on what leaks in 16 answers at temperature 1.

A token that greedy decoding hides can keep 12 % per sample, which is 88 % in 16, so greedy answers alone would stop the
search too early. Questions are those of the policy in a wording that no assistant was trained on. The weight is chosen
first, then how many tokens are kept.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from steering.assistant import Difference
from steering.engine.local.model import Edit, LocalModel
from steering.methods.lessons import HELD_PHRASE, phrased
from steering.methods.surrogate import Question
from steering.methods.teaching import Curve
from steering.methods.trial import QUESTIONS, TOKENS, Fitted, Point, Progress, Tells, Trial, distance, prompt, spoiled
from steering.spec import LEAST_KEPT, Mask

DRAWS = 16
ALPHAS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
RANKS = (1, 5, 20, 50)
KEPT = (LEAST_KEPT, 50, 200)
TOGETHER = 8
"""Questions that are drawn for at once."""
LEAST = 8

Build = Callable[[float, int], Difference]
"""(alpha or rank, kept tokens) -> program."""


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    tells: Tells,
    progress: Progress,
    *,
    mask: Mask,
    strengths: Sequence[float],
    kept: Sequence[int],
    build: Build,
    curves: Mapping[str, Curve],
    seed: int = 0,
) -> Fitted[Difference]:
    """Choose strength and number of kept tokens on one part of the questions and measure the choice on the other.

    Raises ValueError when fewer than `LEAST` questions name what must be forgotten.
    """
    usable = [phrased(q, HELD_PHRASE) for q in questions if q.spans]
    if len(usable) < LEAST:
        raise ValueError(f"the search needs at least {LEAST} example questions that hold a name, not {len(usable)}")
    rng = random.Random(seed)
    rng.shuffle(usable)
    part = min(QUESTIONS, len(usable) // 2)
    searched, checked = usable[:part], usable[part : 2 * part]
    search = _Search(model, mask, values, tells, searched, rng)
    points: dict[tuple[float, int], Point] = {}
    steps = len(strengths) + len(kept) - 1

    def measure(strength: float, count: int) -> None:
        if (strength, count) not in points:
            progress("searching the strength", len(points) / steps)
            points[strength, count] = search.tried(build(strength, count), strength, count)

    for strength in strengths:
        measure(strength, kept[0])
    best = min(points, key=lambda key: points[key].distance)
    for count in kept[1:]:
        measure(best[0], count)
    best = min(points, key=lambda key: points[key].distance)
    program = build(*best)
    check = _Search(model, mask, values, tells, checked, rng)
    measured = check.tried(program, *best)
    progress("searching the strength", 1.0)
    return Fitted(
        program=program,
        points=tuple(points.values()),
        surrogate=search.surrogate,
        check=measured,
        check_bare=check.bare,
        check_surrogate=check.surrogate,
        searched=len(searched),
        checked=len(checked),
        curves=curves,
    )


class _Search:
    """A trial with what leaks in several answers at temperature 1."""

    def __init__(
        self,
        model: LocalModel,
        mask: Mask,
        values: Sequence[str],
        tells: Tells,
        questions: Sequence[Question],
        rng: random.Random,
    ) -> None:
        self.model, self.tells, self.questions = model, tells, questions
        self.trial = Trial(model, mask, values, tells, questions, rng, fluency=True)
        texts = [q.text for q in questions]
        self.bare = replace(self.trial.bare, sampled=self._sampled(texts, None))
        self.surrogate = replace(self.trial.surrogate, sampled=self._sampled(self.trial.twins, None))

    def tried(self, program: Difference, strength: float, kept: int) -> Point:
        """`distance`, what leaks in samples beyond chance, and what a difference of logits can spoil besides."""
        point, target = self.trial.ask(program), self.surrogate
        sampled = self._sampled([q.text for q in self.questions], program)
        worse = distance(point, target) + spoiled(point, target) + max(0.0, sampled - target.sampled)
        return replace(point, strength=strength, sampled=sampled, kept=kept, distance=worse)

    def _sampled(self, texts: Sequence[str], program: Difference | None) -> float:
        prompts = [prompt(self.model, text, [(0, len(text))]) for text in texts]
        edits = [Edit(program, 1.0, tuple(flat)) if program is not None else None for _, flat in prompts]
        answers = draws(self.model, [ids for ids, _ in prompts], edits)
        asked = zip(texts, self.questions, answers, strict=True)
        return sum(any(self.tells(t, a, q.values) for a in many) for t, q, many in asked) / len(texts)


@torch.inference_mode()
def draws(
    model: LocalModel, batch: Sequence[Sequence[int]], edits: Sequence[Edit | None], count: int = DRAWS, seed: int = 0
) -> list[list[str]]:
    """`count` answers at temperature 1 to each prompt."""
    generator = torch.Generator(model.device).manual_seed(seed)

    def pick(logits: Tensor, _: Sequence[int]) -> list[int]:
        found: list[int] = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0].tolist()
        return found

    out: list[list[str]] = []
    for at in range(0, len(batch), TOGETHER):
        part = batch[at : at + TOGETHER]
        state = model.prefill(part, edits[at : at + TOGETHER])
        state.select([i for i in range(len(part)) for _ in range(count)])
        ids = state.run(pick, model.eos, [TOKENS] * (len(part) * count))
        texts = [model.tokenizer.decode(answer, skip_special_tokens=True) for answer in ids]
        out += [texts[i * count : (i + 1) * count] for i in range(len(part))]
    return out
