"""Steering with a gate that is near zero on harmless text (AlphaSteer, arXiv 2506.07022; MLLMEraser, arXiv 2510.04217).

Published: h' = h + s h M, with M fitted so that h M is the direction r where h stands for what must be forgotten, and
zero in the span of harmless activations. Every row of its target is the same r, so M = u r^T exactly, and the edit is

    h' = h + c g(h) r        g(h) = h u

of one column. Published code reads g at the last token of the prompt and adds the edit to all tokens, also to earlier
ones, at prefill only. That is not causal: it gives other results when a prompt comes in chunks or from a cache, and in
tokens outside of the mask. And g has no bounds: outside of the harmless texts that it was fitted on it reached 1.9.
Hence two forms that an engine runs, and the printed one for comparison:

    causal      every edited token has its own gate, clip((h u + b - tau) / (1 - tau), 0, 1); the dead zone tau is set
                on running text, while u is fitted on requests, and what passes the gate is measured on other text
    frozen      g is 1: the guard has decided, and its dose is the gate
    published   `matrix`; local engine only (`replayed`), refused by `lethe compile`

r is the difference of means between unknown and known names (`redirect`), u is learned from the tokens of the names. It
is AlphaSteer's, in the `null` share of directions that harmless text uses least, or, without `null`, weighs every
direction by how much harmless text varies in it: u = (S + w C + l I)^-1 m, with the mean m and the second moment S of
known activations and the covariance C of harmless ones, all about the mean of the harmless ones, scaled to h u = 1 on
average. A hard cut needs directions that no harmless text uses; tokens of all kinds use all of a small model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steering.activation import Activation, EditProgram, parameters
from steering.engine.local.model import LocalModel
from steering.engine.local.residual import decoder_layers
from steering.methods import depth
from steering.methods.contrast import Contrast
from steering.methods.harmless import Harmless, Tokens, gather
from steering.methods.redirect import direction
from steering.methods.surrogate import Question
from steering.methods.trial import Fitted, Progress, Tells
from steering.spec import NullspaceSpec

DOSES = (1.0, 1.4, 2.0, 2.8, 4.0)
"""Length of the edit behind an open gate, in median norms of the activations of content tokens."""
QUIET = 0.99
"""Share of tokens of running text in the dead zone."""
WEIGHT = 10.0
"""What harmless activations weigh against known ones in a probe."""
RIDGE = 1e-3
"""Ridge of a probe, relative to the mean variance of a direction."""
NARROWEST = 0.05
"""Least width 1 - tau of the gate's slope."""


@dataclass(frozen=True, slots=True)
class Gate:
    """g(h) = clip((h u + b - tau) / (1 - tau), 0, 1), u [hidden]."""

    u: Tensor
    b: float
    tau: float

    def __call__(self, h: Tensor) -> Tensor:
        """Gates [n] of activations [n, hidden]."""
        raw = h.to(self.u.dtype) @ self.u + self.b
        return ((raw - self.tau) / (1 - self.tau)).clamp(0, 1)


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: NullspaceSpec,
    tells: Tells,
    progress: Progress,
    harmless: Harmless,
    seed: int = 0,
) -> Fitted[Activation]:
    """Search layer and dose; see `steering.methods.depth.fit`. Raises ValueError for too few harmless texts."""
    layers = depth.candidates(model, spec.layer)
    progress("reading harmless texts", 0.0)
    tokens = gather(model, harmless, layers, seed) if spec.form == "causal" else None
    gates: dict[int, Gate] = {}
    known: dict[int, Tensor] = {}

    def make(contrast: Contrast, layer: int, dose: float) -> Activation:
        if tokens is not None and layer not in gates:
            known[layer] = contrast.names[contrast.layers.index(layer)]
            gates[layer] = gate(known[layer], tokens.at(layer), spec.null)
        return build(model, contrast, layer, dose, gates.get(layer))

    fitted = depth.fit(
        model, questions, values, tells, progress,
        mask=spec.mask, layers=layers, place=spec.place, build=make, seed=seed,
        strengths=(spec.strength,) if spec.strength is not None else DOSES,
    )  # fmt: skip
    layer = fitted.program.edit.sites[0]
    if tokens is None:
        return fitted
    return replace(fitted, condition=measured(gates[layer], known[layer], tokens.at(layer)))


def gate(known: Tensor, tokens: Tokens, null: float | None = None) -> Gate:
    """The gate of known activations [n, hidden], and harmless ones after the same layer."""
    wide = known.double()
    if null is None:
        centre = tokens.fit.double().mean(dim=0)
        u = weighed(wide - centre, tokens.fit.double() - centre)
    else:
        centre = torch.zeros_like(wide[0])
        u = cut(wide, tokens.fit.double(), null)
    return placed(u, centre, tokens)


def placed(u: Tensor, centre: Tensor, tokens: Tokens) -> Gate:
    """The gate of a probe u [hidden] about a centre [hidden], its dead zone set on running text."""
    b = -float(centre @ u)
    tau = float(torch.quantile(tokens.calibration.double() @ u + b, QUIET))
    return Gate(u, b, min(max(tau, 0.0), 1 - NARROWEST))


def weighed(known: Tensor, harmless: Tensor) -> Tensor:
    """Probe u [hidden] of the module, for activations about the mean of the harmless ones."""
    both = known.T @ known / len(known) + WEIGHT * harmless.T @ harmless / len(harmless)
    ridge = RIDGE * both.diagonal().mean() * torch.eye(len(both), dtype=both.dtype, device=both.device)
    u: Tensor = torch.linalg.solve(both + ridge, known.mean(dim=0))
    return u / (known @ u).mean()


def cut(known: Tensor, harmless: Tensor, null: float, ridge: float | None = None) -> Tensor:
    """Probe u [hidden] in the null space: ridge regression of 1 on `known` in the directions `harmless` uses least.

    `null` is the share of all directions that count as unused, 0.3 to 0.6 in AlphaSteer's settings; `ridge` is lambda
    there, 10, and here relative to the activations where it is left out, because no absolute number fits two models.
    """
    q = unused(harmless, null)
    z = known @ q
    square = z.T @ z
    weight = RIDGE * float(square.diagonal().mean()) if ridge is None else ridge
    eye = torch.eye(len(square), dtype=square.dtype, device=square.device)
    u: Tensor = q @ torch.linalg.solve(square + weight * eye, z.sum(dim=0))
    return u


def unused(harmless: Tensor, null: float) -> Tensor:
    """Orthonormal basis [hidden, k] of the k = floor(null * hidden) directions with the least of `harmless` in them."""
    _, vectors = torch.linalg.eigh(harmless.T @ harmless)
    kept: Tensor = vectors[:, : max(1, int(null * harmless.shape[1]))]
    return kept


def build(model: LocalModel, contrast: Contrast, layer: int, dose: float, condition: Gate | None = None) -> Activation:
    """A program of one column that adds `dose` median norms of the direction behind a gate, or without one."""
    moved = direction(contrast, layer)
    moved = moved / moved.norm() * dose * contrast.norms[contrast.layers.index(layer)]
    edit = EditProgram(method="nullspace", layers=(layer,), strength=dose, most=16.0, model=model.fingerprint)
    directions = moved[None].to(torch.float32).cpu().numpy()
    if condition is None:
        return Activation(edit, np.zeros((len(moved), 1), np.float32), parameters(1, constant=1.0), directions)
    width = 1 - condition.tau
    probes = (condition.u / width)[:, None].to(torch.float32).cpu().numpy()
    phi = parameters(1, bias=(condition.b - condition.tau) / width, clipped=1.0, low=0.0, high=1.0)
    return Activation(edit, np.ascontiguousarray(probes), phi, directions)


def measured(condition: Gate, known: Tensor, tokens: Tokens) -> Mapping[str, float]:
    """Mean gate on activations that it was fitted on, and how often and how far it opens on text that it was not."""
    figures = {"dead_zone": condition.tau, "known": float(condition(known).mean())}
    for name, rows in (("harmless", tokens.check), ("neighbours", tokens.check_near)):
        if len(rows):
            opened = condition(rows)
            figures |= {f"{name}_open": float((opened > 0).double().mean()), f"{name}_gate": float(opened.mean())}
    return figures


def matrix(known: Tensor, harmless: Tensor, r: Tensor, null: float, ridge: float) -> Tensor:
    """M [hidden, hidden] as AlphaSteer prints it, for activations [n, hidden] and the direction r [hidden].

    P = Q Q^T with Q the right singular vectors of the harmless activations with the smallest singular values, X = H P,
    M = P (X^T X + ridge P^T P)^+ X^T (1 r^T). The reference of the parity test; it needs hidden^2 numbers where u and r
    need twice hidden.
    """
    right = torch.linalg.svd(harmless, full_matrices=True)[2]
    q = right[len(right) - max(1, int(null * len(right))) :].T
    p = q @ q.T
    x = known @ p
    inverse = torch.linalg.pinv(x.T @ x + ridge * p.T @ p, hermitian=True, rtol=1e-12)
    found: Tensor = p @ inverse @ x.T @ torch.ones(len(x), 1, dtype=x.dtype, device=x.device) @ r[None]
    return found


@contextmanager
def replayed(model: LocalModel, edits: Mapping[int, Tensor], strength: float) -> Iterator[None]:
    """The edit as printed: at prefill, h + strength (h_last M) at every token of the input of each layer of `edits`.

    Whoever pads must pad on the left, as `LocalModel` does. Nothing happens while single tokens are decoded.
    """
    stack = decoder_layers(model.network)

    def before(m: Tensor) -> Any:
        def hook(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden, *others = args
            if hidden.shape[1] == 1:
                return args
            change = strength * hidden[:, -1:].to(m.dtype) @ m
            return hidden + change.to(hidden.dtype), *others

        return hook

    handles = [stack[layer].register_forward_pre_hook(before(m)) for layer, m in edits.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
