"""Searching where and how strongly an activation edit acts.

Questions are split in three: the direction is learned from the first part, layer and strength are chosen on the second,
and the result is measured on the third. The first part's figures are never looked at.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from steering.activation import Activation
from steering.engine.local.model import LocalModel
from steering.methods.contrast import Contrast, Place, collect
from steering.methods.surrogate import Question, invented_names, renamed
from steering.methods.trial import NAMES, QUESTIONS, Fitted, Point, Progress, Tells, Trial, distance, spoiled
from steering.spec import Mask

LEAST = 12
LEARNED = 256
DEPTHS = (0.1, 0.25, 0.4, 0.55, 0.7)
"""Shares of a model's layers after which an edit is tried. What an edit before the recall of a fact changes is the
recall; after it, only the wording."""

Build = Callable[[Contrast, int, float], Activation]
"""(contrast, layer, strength) -> program."""
Prepare = Callable[[Contrast, Sequence[Question], Collection[str]], None]
"""(contrast, the questions it is of, texts that must not be learned from)."""
Cost = Callable[[Point, Point], float]
"""(answers under a program, answers about invented names) -> what is wrong with the first."""


def losses(point: Point, target: Point) -> float:
    """`distance`, and what an edit of the stream can spoil besides."""
    return distance(point, target) + spoiled(point, target)


def candidates(model: LocalModel, layer: int | None, option: str = "layer") -> tuple[int, ...]:
    """Layers to try, counted from 0; the last one is not among them. Raises ValueError for a layer out of range.

    `option` is what a policy calls it.
    """
    if layer is not None and layer >= model.layers:
        raise ValueError(f"method.{option} is {layer}, but the model has layers 0 to {model.layers - 1}")
    tried = {min(round(share * model.layers), max(model.layers - 2, 0)) for share in DEPTHS}
    return tuple(sorted(tried)) if layer is None else (layer,)


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    tells: Tells,
    progress: Progress,
    *,
    mask: Mask,
    layers: Sequence[int],
    strengths: Sequence[float],
    place: Place,
    build: Build,
    read: Sequence[int] = (),
    prepare: Prepare = lambda *_: None,
    cost: Cost = losses,
    seed: int = 0,
) -> Fitted[Activation]:
    """Learn a contrast, choose layer and strength, and measure the choice; see the module.

    The contrast is that of `layers`, or of `read` where `build` needs others too. `prepare` runs before `build`. The
    search makes `cost` small.

    Raises ValueError when fewer than `LEAST` questions name what must be forgotten.
    """
    usable = [q for q in questions if q.spans]
    if len(usable) < LEAST:
        raise ValueError(f"the search needs at least {LEAST} example questions that hold a name, not {len(usable)}")
    rng = random.Random(seed)
    rng.shuffle(usable)
    part = min(QUESTIONS, len(usable) // 3)
    checked, searched, learned = usable[:part], usable[part : 2 * part], usable[2 * part :][:LEARNED]
    progress("collecting activations", 0.0)
    names = invented_names(NAMES, rng.randrange(1 << 30))
    twins = [renamed(question, names, rng) for question in learned]
    known, unknown = ([(q.text, q.spans) for q in side] for side in (learned, twins))
    contrast = collect(model, known, unknown, read or layers, place)
    prepare(contrast, learned, frozenset(q.text for q in (*checked, *searched)))
    trial = Trial(model, mask, values, tells, searched, rng, fluency=True)
    points: dict[tuple[int, float], Point] = {}
    for at, (layer, strength) in enumerate((layer, strength) for layer in layers for strength in strengths):
        progress("searching layer and strength", at / (len(layers) * len(strengths)))
        points[layer, strength] = _tried(trial, build(contrast, layer, strength), layer, strength, cost)
    chosen = min(points, key=lambda key: points[key].distance)
    program = build(contrast, *chosen)
    check = Trial(model, mask, values, tells, checked, rng, fluency=True)
    measured = _tried(check, program, *chosen, cost)
    progress("searching layer and strength", 1.0)
    return Fitted(
        program=program,
        points=tuple(points.values()),
        surrogate=trial.surrogate,
        check=measured,
        check_bare=check.bare,
        check_surrogate=check.surrogate,
        searched=len(searched),
        checked=len(checked),
    )


def _tried(trial: Trial, program: Activation, layer: int, strength: float, cost: Cost) -> Point:
    point = trial.ask(program)
    return replace(point, strength=strength, layer=layer, distance=cost(point, trial.surrogate))
