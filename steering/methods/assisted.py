"""Training the assistants of a logit difference, and searching how strongly they count: `uld` and `twin` alike."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from steering.assistant import Difference, DifferenceProgram
from steering.engine.local.assistants import trained, truncated
from steering.engine.local.model import LocalModel
from steering.methods import merging
from steering.methods.checkpoint import Checkpoint
from steering.methods.harmless import Harmless
from steering.methods.lessons import HELD_PHRASE, PHRASES, Exchange, Lessons, Material, collect, encoded, ending
from steering.methods.surrogate import Question
from steering.methods.teaching import Aim, Curve, Lesson, teach
from steering.methods.trial import Fitted, Progress, Tells
from steering.spec import TwinSpec, UldSpec

HELD_SHARE = 0.1
Plan = tuple[tuple[str, Aim], ...]
"""Part of the lessons -> what its answers aim at."""
Plans = Mapping[str, Plan]
"""Role of each assistant -> what it learns."""


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: UldSpec | TwinSpec,
    plans: Plans,
    tells: Tells,
    progress: Progress,
    harmless: Harmless,
    material: Material,
    seed: int = 0,
) -> Fitted[Difference]:
    """Train the assistants of a method, then search the strength; see `steering.methods.merging.fit`."""
    lessons = collect(model, questions, values, tells, harmless, material.names, random.Random(seed), progress)
    layers = spec.layers or quarter(model)
    tensors: dict[str, NDArray[np.float32]] = {}
    curves: dict[str, Curve] = {}
    for role, plan in plans.items():
        small, curves[role] = train(model, lessons, plan, spec, layers, role, progress, material, seed)
        tensors |= {f"{role}.{name}": tensor for name, tensor in trained(small).items()}
    masks = spec.rule == "rank"

    def build(strength: float, kept: int) -> Difference:
        rank = round(strength) if masks else 0
        difference = DifferenceProgram(
            method=spec.name, rule=spec.rule, layers=layers, alpha=1.0 if masks else strength, rank=rank,
            plausible=spec.plausible, top_m=kept + rank, model=model.fingerprint,
        )  # fmt: skip
        return Difference(difference, tensors)

    strengths: Sequence[float] = merging.ALPHAS if spec.alpha is None else (spec.alpha,)
    if isinstance(spec, TwinSpec) and masks:
        strengths = merging.RANKS if spec.rank is None else (spec.rank,)
    kept = merging.KEPT if spec.top_m is None else (spec.top_m,)
    return merging.fit(
        model, questions, values, tells, progress,
        mask=spec.mask, strengths=strengths, kept=kept, build=build, curves=curves, seed=seed,
    )  # fmt: skip


def quarter(model: LocalModel) -> int:
    """A quarter of the model's layers, but two where it has as many: one alone does not learn whose fact it is."""
    return max(-(-model.layers // 4), min(2, model.layers))


def train(
    model: LocalModel,
    lessons: Lessons,
    plan: Plan,
    spec: TwinSpec | UldSpec,
    layers: int,
    role: str,
    progress: Progress,
    material: Material,
    seed: int,
) -> tuple[object, Curve]:
    """One assistant: (network, loss curve)."""
    small, end = truncated(model.network, layers), ending(model, lessons.forgotten[0])
    parts: dict[str, tuple[Exchange, ...]] = {part: getattr(lessons, part) for part, _ in plan}

    def lesson(exchange: Exchange, phrase: str, aim: Aim, part: str) -> Lesson:
        return Lesson(*encoded(model, exchange, phrase, end), aim, part == "forgotten")

    def draw(epoch: int) -> list[Lesson]:
        rng = random.Random(f"phrases/{seed}/{epoch}")
        return [lesson(e, rng.choice(PHRASES), aim, part) for part, aim in plan for e in parts[part]]

    rng = random.Random(f"held/{seed}")
    held = [
        lesson(e, HELD_PHRASE, aim, part)
        for part, aim in plan
        for e in rng.sample(parts[part], max(1, round(HELD_SHARE * len(parts[part]))) if parts[part] else 0)
    ]
    checkpoint, weight = None, spec.weight if isinstance(spec, UldSpec) else 1.0
    if material.folder is not None:
        settings = repr((spec.epochs, spec.rate, weight, layers, seed, plan))
        identity = (settings, model.fingerprint.model_dump_json(), repr(parts))
        checkpoint = Checkpoint.of(material.folder, material.key, role, *identity)
    curve = teach(
        model, small, draw, held, epochs=spec.epochs, rate=spec.rate, weight=weight, seed=seed,
        checkpoint=checkpoint, progress=lambda share: progress(f"training {role}", share),
    )  # fmt: skip
    return small, curve
