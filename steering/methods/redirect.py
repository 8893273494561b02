"""Redirection: every token of a flagged request is moved from known towards unknown names.

The direction is that of LUNAR (arXiv 2502.07218), mean activation of questions that the model cannot answer minus that
of questions to be forgotten; there weights are trained towards it, here it is added while serving: h' = h + c r.
Unanswerable questions are the policy's own about invented names, so that nothing but the name differs. LUNAR compares
before the answer begins (`place: last`); at the name the same move hides more and spoils less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from steering.activation import Activation, EditProgram, parameters
from steering.engine.local.model import LocalModel
from steering.methods import depth, trained
from steering.methods.contrast import Contrast
from steering.methods.surrogate import Question
from steering.methods.trial import Fitted, Progress, Tells
from steering.methods.unknowing import Aim
from steering.spec import RedirectSpec

DOSES = (0.5, 0.7, 1.0, 1.4, 2.0)
"""|delta| in units of the median norm of the content tokens' activations."""


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: RedirectSpec,
    tells: Tells,
    progress: Progress,
    names: Sequence[str] = (),
    seed: int = 0,
) -> Fitted[Activation]:
    """Search layer and dose; see `steering.methods.depth.fit`. Or train the columns; see `steering.methods.trained`."""
    if spec.trained:
        layers = trained.chosen_layers(model, spec.layer)

        def start(contrast: Contrast, given: Sequence[Aim]) -> Activation:
            found = {layer: trained.span(model, contrast, given, layer, spec.rank) for layer in layers}
            return trained.beside([trained.mapping(model, *found[layer], layer) for layer in layers])

        return trained.fit(
            model, questions, values, spec, tells, progress, names, layers=layers, read=layers, start=start, seed=seed
        )
    doses = (spec.strength,) if spec.strength is not None else DOSES
    return depth.fit(
        model, questions, values, tells, progress,
        mask=spec.mask, layers=depth.candidates(model, spec.layer), strengths=doses, place=spec.place,
        build=lambda contrast, layer, dose: build(model, contrast, layer, dose), seed=seed,
    )  # fmt: skip


def direction(contrast: Contrast, layer: int) -> Tensor:
    """Difference of means, unknown minus known, [hidden]."""
    at = contrast.layers.index(layer)
    return contrast.unknown[at].mean(dim=0) - contrast.known[at].mean(dim=0)


def build(model: LocalModel, contrast: Contrast, layer: int, dose: float) -> Activation:
    """A program of one column that adds `dose` median norms of the direction."""
    moved = direction(contrast, layer)
    moved = moved / moved.norm() * dose * contrast.norms[contrast.layers.index(layer)]
    edit = EditProgram(method="redirect", layers=(layer,), strength=dose, most=16.0, model=model.fingerprint)
    probes = np.zeros((len(moved), 1), np.float32)
    return Activation(edit, probes, parameters(1, constant=1.0), moved[None].to(torch.float32).cpu().numpy())
