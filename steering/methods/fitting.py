"""From the method part of a policy to a program: one function for every method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from steering.activation import Activation
from steering.assistant import Difference
from steering.engine.local.model import LocalModel
from steering.methods import assisted, cast, eco, nullspace, projection, redirect, twin, uld
from steering.methods.harmless import NONE, Harmless
from steering.methods.lessons import NOTHING, Material
from steering.methods.surrogate import Question
from steering.methods.trial import Fitted, Progress, Tells
from steering.program import AnyProgram
from steering.spec import CastSpec, EcoSpec, MethodSpec, NullspaceSpec, ProjectionSpec, RedirectSpec, TwinSpec, UldSpec


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: MethodSpec,
    tells: Tells,
    progress: Progress,
    harmless: Harmless = NONE,
    material: Material = NOTHING,
) -> Fitted[Any]:
    """Fit a method; see the module of each. Raises ValueError where there are too few questions.

    `harmless` is for methods that are conditional, which raise ValueError where it is too little, and with `material`
    for those that train assistants.
    """
    match spec:
        case EcoSpec():
            return eco.fit(model, questions, values, spec, tells, progress)
        case RedirectSpec():
            return redirect.fit(model, questions, values, spec, tells, progress, material.names)
        case ProjectionSpec():
            return projection.fit(model, questions, values, spec, tells, progress, material.names)
        case NullspaceSpec():
            return nullspace.fit(model, questions, values, spec, tells, progress, harmless)
        case CastSpec():
            return cast.fit(model, questions, values, spec, tells, progress, harmless, material.names)
        case UldSpec():
            return assisted.fit(model, questions, values, spec, uld.PLANS, tells, progress, harmless, material)
        case TwinSpec():
            return assisted.fit(model, questions, values, spec, twin.PLANS, tells, progress, harmless, material)


def conditional(spec: MethodSpec) -> bool:
    """Whether a method needs harmless texts."""
    return isinstance(spec, CastSpec | UldSpec | TwinSpec) or (
        isinstance(spec, NullspaceSpec) and spec.form == "causal"
    )


def sites(program: AnyProgram) -> tuple[str, ...]:
    """Places in the network at which a program acts, as a bundle's manifest names them."""
    if isinstance(program, Activation):
        return tuple(f"layer.{layer}" for layer in program.edit.sites)
    if isinstance(program, Difference):
        return ("logits",)
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
    if isinstance(program, Difference):
        difference = program.difference
        return {
            "kind": f"{difference.method} {difference.rule}",
            "strength": difference.rank or difference.alpha,
            "unit": "masked tokens" if difference.rank else "alpha",
            "assistants": len(program.roles),
            "assistant_layers": difference.layers,
            "kept": difference.top_m,
            "plausible": difference.plausible,
            "bytes": sum(tensor.nbytes for tensor in program.tensors.values()),
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
