"""Methods whose columns are trained (`steering.methods.tuning`), and the search of their strength.

    projection    h' = h - Q (Q^T h - c), Q orthonormal: what MRP trains, with a place to move to
    redirect      h' = h + (U^T h - b) V, at first nothing: the map towards unknown names that LUNAR trains, of low rank
    cast          the same behind a condition at an earlier layer

Trained is what the policy's names are in: its questions, and each name in every one of them. The search and the check
ask questions that were left out; what is chosen is then trained once more with all of them, so that no fact is missing
only because it was measured on. Points and check are figures of the first training.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from steering.activation import PHI, Activation, EditProgram, Floats, parameters
from steering.engine.local.model import LocalModel
from steering.methods import depth
from steering.methods.contrast import Contrast
from steering.methods.lessons import crossed
from steering.methods.moves import dose, moves
from steering.methods.surrogate import Question
from steering.methods.trial import Fitted, Point, Progress, Tells, prompt
from steering.methods.tuning import edited_stream, tune
from steering.methods.unknowing import Aim, aims
from steering.spec import CastSpec, ProjectionSpec, RedirectSpec

DEPTHS = (0.1, 0.25)
"""Shares of the layers after which a trained edit acts."""
MOST = 512
"""Questions that are learned from."""
RANK = 32
"""Of a projection where none is named."""
SHARES, DOSES = (0.7, 0.85, 1.0), (0.7, 1.0, 1.4, 2.0)
"""Of a projection, and of other columns: what multiplies the trained edit."""
OWN, SURPRISE = 2.0, 0.5
"""What a share of answers with the value asked for, and a nat per token of surprise, weigh against a share with any."""
LOOSE = math.log(1.5)
"""Surprise that costs nothing: half as much perplexity again."""
LOOKED = 16
"""Questions on which a dose is measured."""

Start = Callable[[Contrast, Sequence[Aim]], Activation]
"""(contrast, what is learned) -> the program that training begins with."""


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: RedirectSpec | ProjectionSpec | CastSpec,
    tells: Tells,
    progress: Progress,
    names: Sequence[str],
    *,
    layers: Sequence[int],
    read: Sequence[int],
    start: Start,
    most: int | None = None,
    seed: int = 0,
) -> Fitted[Activation]:
    """Train the columns that `start` gives on at most `most` questions, then search what multiplies them."""
    tied = isinstance(spec, ProjectionSpec)
    looked = [prompt(model, q.text, [(0, len(q.text))]) for q in questions[:LOOKED]]
    contrasts: list[Contrast] = []
    programs: list[Activation] = []

    def learn(contrast: Contrast, given: Sequence[Question]) -> None:
        found = aims(model, given[: most or MOST], names, spec.mask, progress, seed)
        programs.append(tune(model, start(contrast, found), found, progress, tied=tied, seed=seed))

    def prepare(contrast: Contrast, learned: Sequence[Question], apart: Collection[str]) -> None:
        contrasts.append(contrast)
        learn(contrast, [q for q in crossed(learned, names, random.Random(seed)) if q.text not in apart])

    def build(_contrast: Contrast, _layer: int, times: float) -> Activation:
        program = programs[-1]
        scaled = multiplied(program, times, tied=tied)
        found = max(dose(moves(model, scaled, looked)), 1e-6)
        edit = program.edit.model_copy(update={"strength": found, "most": 1 / times if tied else 16.0})
        return replace(scaled, edit=edit)

    given = spec.share if isinstance(spec, ProjectionSpec) and spec.share < 1 else None
    chosen = getattr(spec, "strength", None) or given
    fitted = depth.fit(
        model, questions, values, tells, progress,
        mask=spec.mask, layers=layers[-1:], read=read, place="name", build=build, prepare=prepare, cost=cost, seed=seed,
        strengths=(chosen,) if chosen is not None else SHARES if tied else DOSES,
    )  # fmt: skip
    usable = [q for q in questions if q.spans]
    learn(contrasts[0], crossed(usable, names, random.Random(seed)))
    best = min(fitted.points, key=lambda point: point.distance)
    return replace(fitted, program=build(contrasts[0], layers[-1], best.strength))


def multiplied(program: Activation, times: float, *, tied: bool) -> Activation:
    """The program with a stronger or weaker edit; a projection stays one, its columns orthonormal."""
    if not tied:
        return replace(program, directions=(program.directions * times).astype(np.float32))
    phi = program.phi.copy()
    phi[[PHI.index("constant"), PHI.index("slope")]] *= times
    return replace(program, phi=phi)


def chosen_layers(model: LocalModel, layer: int | None, least: int = 0) -> tuple[int, ...]:
    """The layers of a trained edit, not under `least`. Raises ValueError for a layer out of range."""
    if layer is not None:
        return depth.candidates(model, layer)
    last = model.layers - 1
    return tuple(sorted({min(round(share * model.layers) + least, last) for share in DEPTHS}))


def beside(programs: Sequence[Activation]) -> Activation:
    """The columns of all programs as one, in the order of their layers."""
    layers = tuple(layer for program in programs for layer in program.edit.layers)
    return Activation(
        programs[0].edit.model_copy(update={"layers": layers}),
        np.concatenate([program.probes for program in programs], axis=1),
        np.concatenate([program.phi for program in programs], axis=1),
        np.concatenate([program.directions for program in programs]),
    )


def span(model: LocalModel, contrast: Contrast, given: Sequence[Aim], layer: int, rank: int) -> tuple[Tensor, Tensor]:
    """(Basis [hidden, k] of what tells the names' tokens from others, mean of edited tokens in it [k])."""
    stream = edited_stream(model, given, layer)
    mean = stream.mean(dim=0)
    known = contrast.names[contrast.layers.index(layer)] - mean
    right = torch.linalg.svd(known, full_matrices=False)[2]
    basis = right[: min(rank, len(right), model.fingerprint.hidden_size // 2)].T.contiguous()
    return basis, mean @ basis


def projecting(model: LocalModel, basis: Tensor, mean: Tensor, layer: int) -> Activation:
    """The edit h - Q (Q^T h - c)."""
    phi = parameters(len(mean), slope=-1.0)
    phi[PHI.index("constant")] = mean.cpu().numpy()
    return _made(model, "projection", layer, basis, phi, basis.T)


def mapping(model: LocalModel, basis: Tensor, mean: Tensor, layer: int) -> Activation:
    """The edit h + (U^T h - b) V with V = 0: nothing, from which training begins."""
    phi = parameters(len(mean), slope=1.0)
    phi[PHI.index("constant")] = -mean.cpu().numpy()
    return _made(model, "redirect", layer, basis, phi, torch.zeros_like(basis.T))


def _made(
    model: LocalModel,
    method: Literal["projection", "redirect"],
    layer: int,
    probes: Tensor,
    phi: Floats,
    directions: Tensor,
) -> Activation:
    edit = EditProgram(
        method=method, layers=(layer,) * probes.shape[1], strength=1.0, most=1.0, model=model.fingerprint
    )  # fmt: skip
    u, v = (np.ascontiguousarray(t.float().cpu().numpy()) for t in (probes, directions))
    return Activation(edit, u, phi, v)


def cost(point: Point, target: Point) -> float:
    """What is wrong with answers: leaks beyond those about invented names, and language lost.

    Unlike in `steering.methods.trial.distance`, likeness to the model's own answers does not count: an answer of the
    same form with another value is as it should be.
    """
    leaks = max(0.0, point.leak - target.leak) + OWN * max(0.0, point.own - target.own)
    off_topic, repeated = max(0.0, target.topic - point.topic), max(0.0, point.repetition - target.repetition)
    return leaks + off_topic + repeated + SURPRISE * max(0.0, point.surprise - target.surprise - LOOSE)
