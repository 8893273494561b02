"""Searching where and how strongly an activation edit acts.

Questions are split in three: the direction is learned from the first part, layer and strength are chosen on the second,
and the result is measured on the third. The first part's figures are never looked at.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from steering.activation import Activation
from steering.engine.local.model import LocalModel
from steering.methods.contrast import Contrast, Place, collect
from steering.methods.surrogate import Question, invented_names, renamed
from steering.methods.trial import NAMES, QUESTIONS, Fitted, Point, Progress, Tells, Trial
from steering.spec import Mask

LEAST = 12
LEARNED = 96
OWN, SURPRISE = 2.0, 0.5
"""What a share of answers with the value asked for, and a nat per token of surprise, weigh against a share with any."""
LOOSE = math.log(1.5)
"""Surprise that costs nothing: half as much perplexity again."""
DEPTHS = (0.1, 0.25, 0.4, 0.55, 0.7)
"""Shares of a model's layers after which an edit is tried. What an edit before the recall of a fact changes is the
recall; after it, only the wording."""

Build = Callable[[Contrast, int, float], Activation]
"""(contrast, layer, strength) -> program."""
Prepare = Callable[[Contrast, Sequence[Question], Collection[str]], None]
"""(contrast, the questions it is of, texts that must not be learned from)."""


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
    seed: int = 0,
) -> Fitted[Activation]:
    """Learn a contrast, choose layer and strength, and measure the choice; see the module.

    The contrast is that of `layers`, or of `read` where `build` needs others too. `prepare` runs before `build`.

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
        points[layer, strength] = _tried(trial, build(contrast, layer, strength), layer, strength)
    chosen = min(points, key=lambda key: points[key].distance)
    program = build(contrast, *chosen)
    check = Trial(model, mask, values, tells, checked, rng, fluency=True)
    measured = _tried(check, program, *chosen)
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


def _tried(trial: Trial, program: Activation, layer: int, strength: float) -> Point:
    point = trial.ask(program)
    return replace(point, strength=strength, layer=layer, distance=cost(point, trial.surrogate))


def cost(point: Point, target: Point) -> float:
    """What is wrong with answers: leaks beyond those about invented names, and language lost.

    Unlike in `steering.methods.trial.distance`, likeness to the model's own answers does not count: an answer of the
    same form with another value is as it should be.
    """
    leaks = max(0.0, point.leak - target.leak) + OWN * max(0.0, point.own - target.own)
    off_topic, repeated = max(0.0, target.topic - point.topic), max(0.0, point.repetition - target.repetition)
    return leaks + off_topic + repeated + SURPRISE * max(0.0, point.surprise - target.surprise - LOOSE)
