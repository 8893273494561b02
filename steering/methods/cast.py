"""Conditional activation steering, CAST (arXiv 2409.05907): a condition at one layer gates the behaviour at later ones.

Published: h' = h + f(cos(h, proj_c h)) a v, f a step at theta, proj_c h = (c c^T / c^T c) h. As proj_c h is a multiple
of c, this cosine is |cos(h, c)|. c is the first principal component of activations with and without the condition about
the mean of both kinds, theta and the layer come from a grid search for the best F1.

Published code decides once per prompt, on a mean over its tokens or the last one, and keeps its state in a class: one
condition for a whole batch. A verdict of the last token would have to reach earlier ones, which chunked prompts and
cached blocks do not allow. Here every edited token has its own: a column after the condition's layer opens the gate of
its row (`steering.ops.edit`), and the columns after later layers move what it lets through. The condition is one-sided
unless `sides: both`: what points away from c has nothing of what is looked for. The code's tanh around proj_c h is no
function of one column and is left out.

The behaviour is the move towards unknown names (`redirect`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from steering.activation import PHI, Activation, EditProgram, parameters
from steering.engine.local.model import LocalModel
from steering.methods import depth, trained
from steering.methods.contrast import Contrast
from steering.methods.harmless import Harmless, Tokens, gather
from steering.methods.redirect import direction
from steering.methods.surrogate import Question
from steering.methods.trial import Fitted, Progress, Tells
from steering.methods.unknowing import Aim
from steering.spec import CastSpec

DOSES = (0.7, 1.0, 1.4, 2.0, 2.8)
"""Length of the move at each layer, in median norms of the activations of content tokens there."""
STEPS = 200
"""Thresholds that are tried."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds where cos(h, c) > theta, c [hidden] of length 1; of |cos| where it has both sides.

    `f1` is what the search found, on the tokens that it searched.
    """

    layer: int
    c: Tensor
    theta: float
    both: bool
    f1: float

    def __call__(self, h: Tensor) -> Tensor:
        """Where it holds, [n] bool, for activations [n, hidden]."""
        return _cosine(h, self.c, both=self.both) > self.theta


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: CastSpec,
    tells: Tells,
    progress: Progress,
    harmless: Harmless,
    names: Sequence[str] = (),
    seed: int = 0,
) -> Fitted[Activation]:
    """Search the condition, then layer and dose behind it; see `steering.methods.depth.fit`.

    Raises ValueError for too few harmless texts, and where no layer is left behind the condition's.
    """
    conditions = [at for at in depth.candidates(model, spec.condition, "condition") if at + spec.width < model.layers]
    behind = [at for at in depth.candidates(model, spec.layer) if at + spec.width <= model.layers]
    if spec.trained:
        behind = list(trained.chosen_layers(model, spec.layer, min(conditions, default=model.layers) + 1))
    behind = [at for at in behind if at > min(conditions, default=model.layers)]
    if not behind:
        raise ValueError(
            f"method cast moves {spec.width} layer(s) behind the layer of its condition; of {model.layers} layers, "
            f"counted from 0, condition {_said(spec.condition)} and layer {_said(spec.layer)} leave none"
        )
    progress("reading harmless texts", 0.0)
    tokens = gather(model, harmless, conditions, seed)
    found: dict[int, Condition] = {}
    known: dict[int, Tensor] = {}

    def make(contrast: Contrast, layer: int, dose: float) -> Activation:
        for at in conditions:
            if at not in found:
                known[at] = contrast.known[contrast.layers.index(at)]
                found[at] = condition(at, known[at], tokens.at(at), both=spec.sides == "both")
        return build(model, contrast, best(found, layer), range(layer, layer + spec.width), dose)

    if spec.trained:

        def start(contrast: Contrast, given: Sequence[Aim]) -> Activation:
            found = {layer: trained.span(model, contrast, given, layer, spec.rank) for layer in behind}
            moved = trained.beside([trained.mapping(model, *found[layer], layer) for layer in behind])
            return behind_gate(make(contrast, behind[0], 1.0), moved)

        fitted = trained.fit(
            model, questions, values, spec, tells, progress, names,
            layers=behind, read=sorted({*conditions, *behind}), start=start, seed=seed,
        )  # fmt: skip
        chosen = found[fitted.program.edit.sites[0]]
        return replace(fitted, condition=measured(chosen, known[chosen.layer], tokens.at(chosen.layer)))
    reading = sorted({*conditions, *(at + i for at in behind for i in range(spec.width))})
    fitted = depth.fit(
        model, questions, values, tells, progress,
        mask=spec.mask, layers=behind, read=reading, place=spec.place, build=make, seed=seed,
        strengths=(spec.strength,) if spec.strength is not None else DOSES,
    )  # fmt: skip
    chosen = found[fitted.program.edit.sites[0]]
    return replace(fitted, condition=measured(chosen, known[chosen.layer], tokens.at(chosen.layer)))


def best(found: Mapping[int, Condition], layer: int) -> Condition:
    """The condition with the largest F1 in front of a layer, the earliest of equals."""
    return max((c for at, c in sorted(found.items()) if at < layer), key=lambda c: c.f1)


def condition(layer: int, known: Tensor, tokens: Tokens, *, both: bool = False) -> Condition:
    """Fit c on known activations [n, hidden] and as many harmless ones, and theta where the F1 is best.

    theta is searched on running text, which c has not seen. Both kinds weigh the same.
    """
    return placed(layer, component(known.double(), tokens.fit.double()), known, tokens, both=both)


def placed(layer: int, c: Tensor, known: Tensor, tokens: Tokens, *, both: bool = False) -> Condition:
    """The condition of a direction c [hidden], theta as in `condition`."""
    yes, no = _cosine(known.double(), c, both=both), _cosine(tokens.calibration.double(), c, both=both)
    thresholds = torch.linspace(0.0 if both else -1.0, 1.0, STEPS, dtype=torch.float64, device=yes.device)
    hits, alarms = ((rows[None] > thresholds[:, None]).double().mean(dim=1) for rows in (yes, no))
    scores = 2 * hits / (1 + hits + alarms)
    # of equally good thresholds the middle one, which is as far from both kinds as it can be
    equal = torch.nonzero(scores >= scores.max() - 1e-12).flatten()
    at = int(equal[len(equal) // 2])
    return Condition(layer, c, float(thresholds[at]), both, float(scores[at]))


def component(known: Tensor, harmless: Tensor) -> Tensor:
    """Direction c [hidden]: first principal component about the mean of both means, pointing to the known activations.

    Of [n, hidden] known and [m, hidden] harmless activations; m is thinned to n, so that both kinds weigh the same.
    """
    places = torch.linspace(0, len(harmless) - 1, min(len(known), len(harmless)), device=harmless.device).long()
    others = harmless[places]
    towards = known.mean(dim=0) - others.mean(dim=0)
    centre = (known.mean(dim=0) + others.mean(dim=0)) / 2
    right = torch.linalg.svd(torch.cat([known, others]) - centre, full_matrices=False)[2]
    c: Tensor = right[0]
    return c if float(c @ towards) >= 0 else -c


def build(
    model: LocalModel, contrast: Contrast, condition: Condition, layers: Sequence[int], dose: float
) -> Activation:
    """A program: columns that open the gate after the condition's layer, and one column for each layer behind."""
    hidden = model.fingerprint.hidden_size
    c = condition.c.to(torch.float32).cpu().numpy()
    # z = h c / (rms(h) sqrt(hidden)) is the cosine
    opening = np.stack([c, -c] if condition.both else [c], axis=1) / math.sqrt(hidden)
    moves = []
    for layer in layers:
        r = direction(contrast, layer)
        moves.append(r / r.norm() * dose * contrast.norms[contrast.layers.index(layer)])
    count = opening.shape[1]
    phi = [
        parameters(count, threshold=condition.theta, step=1.0, normalised=1.0, gates=1.0),
        parameters(len(moves), constant=1.0),
    ]
    edit = EditProgram(
        method="cast",
        layers=(*(condition.layer,) * count, *layers),
        strength=dose,
        most=16.0,
        model=model.fingerprint,
    )
    directions = torch.cat([torch.zeros(count, hidden, device=moves[0].device), torch.stack(moves).float()])
    return Activation(
        edit,
        np.concatenate([opening, np.zeros((hidden, len(moves)))], axis=1, dtype=np.float32),
        np.concatenate(phi, axis=1),
        directions.cpu().numpy(),
    )


def behind_gate(conditional: Activation, moved: Activation) -> Activation:
    """The condition of one program, and the columns of another behind it."""
    gates = np.flatnonzero(conditional.phi[PHI.index("gates")])
    layers = (*(conditional.edit.layers[i] for i in gates), *moved.edit.layers)
    return Activation(
        conditional.edit.model_copy(update={"layers": layers}),
        np.concatenate([conditional.probes[:, gates], moved.probes], axis=1),
        np.concatenate([conditional.phi[:, gates], moved.phi], axis=1),
        np.concatenate([conditional.directions[gates], moved.directions]),
    )


def measured(condition: Condition, known: Tensor, tokens: Tokens) -> Mapping[str, float]:
    """Share of known tokens for which the condition holds, and of harmless ones of text that it was not fitted on."""
    figures = {
        "layer": float(condition.layer),
        "threshold": condition.theta,
        "f1": condition.f1,
        "known": float(condition(known).double().mean()),
    }
    for name, rows in (("harmless", tokens.check), ("neighbours", tokens.check_near)):
        if len(rows):
            figures[f"{name}_open"] = float(condition(rows).double().mean())
    return figures


def _cosine(h: Tensor, c: Tensor, *, both: bool) -> Tensor:
    found: Tensor = h.to(c.dtype) @ c / h.to(c.dtype).norm(dim=1).clamp_min(1e-12)
    return found.abs() if both else found


def _said(layer: int | None) -> str:
    return "(searched)" if layer is None else str(layer)
