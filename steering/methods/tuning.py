"""Training the columns of an activation edit towards the answers of a model that never knew
(`steering.methods.unknowing`).

Directions that are means or principal components of activations move whatever lies along them, words as well as facts:
answers lost their language before they lost their values. Here the columns of a program are trained by gradient descent
through `steering.ops.edit`, so that what is served is what is trained: the KL divergence from the aim, where a fact
stands and elsewhere. The network is frozen. MRP trains its projections and LUNAR the matrix that redirects; the loss is
neither's. A gate that opens by a condition stays as it was fitted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steering.activation import PHI, Activation
from steering.engine.local.model import LocalModel
from steering.engine.local.residual import columns, hooked
from steering.methods.trial import Progress
from steering.methods.unknowing import Aim
from steering.ops import edit

PASSES, BATCH, LEAST_STEPS = 24, 40, 40
WEIGHT = 10.0
"""What a token of a fact weighs against one of the words around it."""
RATE = 0.1
"""Peak learning rate of Adam, divided by the root of the width: what one step turns a column by is the same in every
model. Constants are in units of the stream's deviation."""
CONSTANT, GATES = PHI.index("constant"), PHI.index("gates")


def tune(
    model: LocalModel, program: Activation, given: Sequence[Aim], progress: Progress, *, tied: bool, seed: int = 0
) -> Activation:
    """Train probes, constants and directions of the columns that move something.

    `tied`: each layer's columns are a projection, so probes stay orthonormal and are the directions.
    """
    knobs = _Knobs(model, program, _deviation(model, program, given), tied=tied)
    rate = RATE / model.fingerprint.hidden_size**0.5
    optimizer = torch.optim.Adam(knobs.trained, lr=rate)
    rng = random.Random(seed)
    steps = max(LEAST_STEPS, PASSES * len(given) // BATCH)
    for step in range(steps):
        progress("training columns", step / steps)
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        with torch.inference_mode(mode=False), torch.enable_grad():
            loss = _loss(model, program, knobs, rng.sample(list(given), min(BATCH, len(given))))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return knobs.program()


class _Knobs:
    """The trained numbers of a program, and the tables of `steering.ops.edit` that they make."""

    def __init__(self, model: LocalModel, program: Activation, units: dict[int, float], *, tied: bool) -> None:
        self.start, self.tied, self.device = program, tied, model.device
        self.moving = torch.from_numpy(program.phi[GATES] == 0).to(model.device)
        self.units = torch.tensor([units[layer] for layer in program.edit.layers], device=model.device)
        self.probes, self.phi, self.directions = (
            torch.from_numpy(getattr(program, name).copy()).to(model.device) for name in ("probes", "phi", "directions")
        )
        with torch.inference_mode(mode=False):
            self.constants = torch.zeros(len(self.units), device=model.device, requires_grad=True)
            self.u = self.probes.clone().requires_grad_(True)
            self.v = self.directions.clone().requires_grad_(True)
        self.trained = [self.u, self.constants] if tied else [self.u, self.constants, self.v]

    def tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """(Probes [hidden, k], phi [len(PHI), k], directions [k, hidden])."""
        shift = torch.where(self.moving, self.constants * self.units, 0.0)
        phi = torch.cat([self.phi[:CONSTANT], self.phi[CONSTANT : CONSTANT + 1] + shift, self.phi[CONSTANT + 1 :]])
        if self.tied:
            sites = [self.start.columns(layer) for layer in self.start.edit.sites]
            probes = torch.cat([torch.linalg.qr(self.u[:, own])[0] for own in sites], dim=1)
            return probes, phi, probes.T
        probes = torch.where(self.moving, self.u, self.probes)
        return probes, phi, torch.where(self.moving[:, None], self.v, self.directions)

    def program(self) -> Activation:
        """The program as trained so far."""
        with torch.no_grad():
            probes, phi, directions = (
                np.ascontiguousarray(t.float().cpu().numpy(), dtype=np.float32) for t in self.tables()
            )
        return replace(self.start, probes=probes, phi=phi, directions=directions)


def _loss(model: LocalModel, program: Activation, knobs: _Knobs, batch: Sequence[Aim]) -> Tensor:
    """Mean divergence at facts, weighed, plus that at the other tokens of the answers."""
    width = max(len(aim.ids) for aim in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long, device=model.device)
    chosen = torch.zeros(len(batch), width, dtype=torch.bool, device=model.device)
    said = torch.zeros(len(batch), width, dtype=torch.bool, device=model.device)
    for i, aim in enumerate(batch):
        ids[i, : len(aim.ids)] = torch.tensor(aim.ids)
        chosen[i, : len(aim.ids)] = aim.edited()
        said[i, aim.start - 1 : len(aim.ids) - 1] = True
    # attention is causal and the padding is on the right, so no mask is needed
    with _steered(model, program, knobs.tables(), chosen):
        hidden = model.network.model(input_ids=ids, use_cache=False).last_hidden_state[said]
    logp = torch.log_softmax(model.network.get_output_embeddings()(hidden).float(), dim=1)
    tokens, shares = (torch.cat([getattr(aim, name) for aim in batch]) for name in ("tokens", "shares"))
    apart = (shares * (shares.clamp_min(1e-9).log() - logp.gather(1, tokens))).sum(dim=1)
    facts = torch.cat([aim.facts for aim in batch]).to(apart.device)
    parts = [weight * apart[rows].mean() for weight, rows in ((WEIGHT, facts), (1.0, ~facts)) if bool(rows.any())]
    return torch.stack(parts).sum()


def _steered(model: LocalModel, program: Activation, tables: tuple[Tensor, Tensor, Tensor], chosen: Tensor) -> Any:
    """Hooks that edit as `steering.engine.local.residual.steered` does, with tables that carry gradients."""
    probes, phi, directions = tables
    slot, gate = chosen.flatten().long(), torch.ones(chosen.numel(), device=chosen.device)
    members = {layer: columns([program], layer, chosen.device)[2] for layer in program.edit.sites}

    def change(layer: int, hidden: Tensor) -> Tensor:
        nonlocal gate
        own = program.columns(layer)
        flat = hidden.reshape(-1, hidden.shape[-1])
        moved, gate = edit(
            flat, None, slot, gate, probes[:, own], phi[:, own], members[layer], directions[own]
        )  # fmt: skip
        return moved.reshape(hidden.shape)

    return hooked(model.network, program.edit.sites, change)


def _deviation(model: LocalModel, program: Activation, given: Sequence[Aim]) -> dict[int, float]:
    """Layer -> root mean square of the stream of edited tokens about its mean."""
    return {layer: float(edited_stream(model, given, layer).std(dim=0).mean()) for layer in program.edit.sites}


def edited_stream(model: LocalModel, given: Sequence[Aim], layer: int, most: int = 64) -> Tensor:
    """Stream [tokens, hidden] after a layer, of the tokens that an edit treats, in the untouched model."""
    some = given[:most]
    streams = model.activations([aim.ids for aim in some], (layer,))
    return torch.cat([s[0][aim.edited().to(s.device)] for s, aim in zip(streams, some, strict=True)])
