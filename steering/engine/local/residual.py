"""The residual stream of a transformers model: hooks after decoder layers that edit it, or record it.

Methods are fitted on what `recorded` sees and served through `steered`; both stand at the same place, the output of a
layer, so that a direction cannot be off by one layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steering.activation import Activation
from steering.ops import edit


class EngineFaultError(RuntimeError):
    """The model produced something that must not be answered with, or was not edited as it should have been."""


@dataclass(frozen=True, slots=True)
class Push:
    """An activation program at a gate, for one row of a batch."""

    program: Activation
    gate: float


def decoder_layers(network: Any) -> torch.nn.ModuleList:
    """The decoder layers of a Llama-type model. Raises `EngineFaultError`."""
    layers = getattr(getattr(network, "model", None), "layers", None)
    if not isinstance(layers, torch.nn.ModuleList):
        raise EngineFaultError(
            f"{type(network).__name__} has no model.layers: activation edits need a Llama-type model"
        )
    return layers


@contextmanager
def steered(network: Any, rows: Sequence[Push | None], chosen: Tensor) -> Iterator[None]:
    """Edit the stream of the forward passes inside of the block.

    `chosen`: [rows, width] bool, which tokens of the (padded) batch are edited. Raises `EngineFaultError` afterwards
    where a layer did not run.
    """
    distinct = list({id(push.program): push.program for push in rows if push is not None}.values())
    sites = {layer for program in distinct for layer in program.edit.sites}
    if not sites:
        yield
        return
    slots = [0 if push is None else 1 + next(i for i, p in enumerate(distinct) if p is push.program) for push in rows]
    slot = torch.where(chosen, torch.tensor(slots, device=chosen.device)[:, None], 0).flatten()
    gates = torch.tensor([0.0 if push is None else push.gate for push in rows], device=chosen.device)
    gate = gates[:, None].expand_as(chosen).flatten()
    ran: set[int] = set()
    tables = {layer: columns(distinct, layer, chosen.device) for layer in sites}

    def change(layer: int, hidden: Tensor) -> Tensor:
        nonlocal gate
        ran.add(layer)
        flat = hidden.reshape(-1, hidden.shape[-1])
        moved, gate = edit(flat, None, slot, gate, *tables[layer])
        return moved.reshape(hidden.shape)

    with hooked(network, sites, change):
        yield
    if sites - ran:
        raise EngineFaultError(f"layers {sorted(sites - ran)} did not run: the edit was not made")


@contextmanager
def recorded(network: Any, layers: Sequence[int]) -> Iterator[Mapping[int, Tensor]]:
    """Keep the output [rows, width, hidden] of layers; the mapping is filled by the forward pass in the block."""
    kept: dict[int, Tensor] = {}

    def keep(layer: int, hidden: Tensor) -> Tensor:
        kept[layer] = hidden
        return hidden

    with hooked(network, layers, keep):
        yield kept


@contextmanager
def hooked(network: Any, layers: Sequence[int] | set[int], change: Any) -> Iterator[None]:
    """Hooks: `change(layer, hidden)` becomes the output of each layer. Raises `EngineFaultError`."""
    stack = decoder_layers(network)
    if max(layers) >= len(stack):
        raise EngineFaultError(f"layer {max(layers)} of a model that has {len(stack)}, counted from 0")

    def hook(layer: int) -> Any:
        def after(_module: Any, _args: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return change(layer, output[0]), *output[1:]
            return change(layer, output)

        return after

    handles = [stack[layer].register_forward_hook(hook(layer)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def columns(programs: Sequence[Activation], layer: int, device: torch.device) -> list[Tensor]:
    """Columns of all programs at a layer, stacked: probes, phi, members and directions of `steering.ops.edit`."""
    picked = [(slot, program, program.columns(layer)) for slot, program in enumerate(programs, 1)]
    members = np.zeros((len(programs) + 1, sum(len(own) for _, _, own in picked)), np.float32)
    at = 0
    for slot, _, own in picked:
        members[slot, at : at + len(own)] = 1.0
        at += len(own)
    tables = (
        np.concatenate([program.probes[:, own] for _, program, own in picked], axis=1),
        np.concatenate([program.phi[:, own] for _, program, own in picked], axis=1),
        members,
        np.concatenate([program.directions[own] for _, program, own in picked]),
    )
    return [torch.from_numpy(table).to(device) for table in tables]
