"""From the method part of a policy to a program: one function for every method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from steering.activation import Activation
from steering.engine.local.model import LocalModel
from steering.methods import eco, projection, redirect
from steering.methods.surrogate import Question
from steering.methods.trial import Fitted, Progress, Tells
from steering.program import AnyProgram
from steering.spec import EcoSpec, MethodSpec, ProjectionSpec, RedirectSpec


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: MethodSpec,
    tells: Tells,
    progress: Progress,
) -> Fitted[Any]:
    """Fit a method; see the module of each. Raises ValueError where there are too few questions."""
    match spec:
        case EcoSpec():
            return eco.fit(model, questions, values, spec, tells, progress)
        case RedirectSpec():
            return redirect.fit(model, questions, values, spec, tells, progress)
        case ProjectionSpec():
            return projection.fit(model, questions, values, spec, tells, progress)


def sites(program: AnyProgram) -> tuple[str, ...]:
    """Places in the network at which a program acts, as a bundle's manifest names them."""
    if isinstance(program, Activation):
        return tuple(f"layer.{layer}" for layer in program.edit.sites)
    return ("embed",)


def describe(program: AnyProgram, model: LocalModel) -> dict[str, Any]:
    """What a program is, for the manifest and the card; strengths are relative to the model's own norms."""
    if isinstance(program, Activation):
        edit = program.edit
        return {
            "kind": edit.method,
            "strength": edit.strength,
            "unit": "median norms of the activations of content tokens",
            "layers": list(edit.sites),
            "columns": len(edit.layers),
        }
    chosen, noise = program.eco, program.eco.kind == "noise"
    norm = float(model.network.get_input_embeddings().weight.detach().float().norm(dim=1).mean())
    return {
        "kind": chosen.kind,
        "strength": chosen.strength * math.sqrt(chosen.dims) / norm if noise else chosen.strength,
        "unit": "mean embedding norms" if noise else "share",
        "seed": chosen.seed,
        "dims": chosen.dims,
    }
