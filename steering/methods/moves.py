"""What an edit does to the stream: the move of every edited token at each of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from steering.activation import Activation, parameters
from steering.engine.local.model import Edit, LocalModel
from steering.engine.local.residual import columns, recorded
from steering.ops import edit


def moves(
    model: LocalModel, program: Activation, asked: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> Mapping[int, tuple[Tensor, Tensor]]:
    """Layer -> (stream before the edit, what is added to it), [tokens, hidden] each.

    `asked`: ids and flat spans of prompts; the tokens of the spans are looked at.
    """
    found: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in program.edit.sites}
    for ids, spans in asked:
        with recorded(model.network, program.edit.sites) as before:
            model.logits([ids], [Edit(program, 1.0, tuple(spans))])
        inside = [t for a, b in zip(spans[::2], spans[1::2], strict=True) for t in range(a, b)]
        gate = torch.ones(len(inside), device=model.device)
        slot = torch.ones(len(inside), dtype=torch.long, device=model.device)
        for layer in program.edit.sites:
            h = before[layer][0, inside].float()
            moved, gate = edit(h, None, slot, gate, *columns([program], layer, model.device))
            found[layer].append((h, moved - h))
    return {layer: (torch.cat([h for h, _ in rows]), torch.cat([d for _, d in rows])) for layer, rows in found.items()}


def dose(found: Mapping[int, tuple[Tensor, Tensor]]) -> float:
    """Median of |move| / |h| over the tokens that are moved, at the layer where it is largest; 0 where none is."""
    shares = [d.norm(dim=1) / h.norm(dim=1) for h, d in found.values()]
    return max(float(rows[rows > 0].median()) if bool((rows > 0).any()) else 0.0 for rows in shares)


def restored(program: Activation, found: Mapping[int, tuple[Tensor, Tensor]]) -> Activation:
    """The program with its mean move taken back at every layer.

    What an attacker does who can write to the stream and has learned in which direction it was moved. Under a gate it
    is taken back where the gate is open. The result may be too large for an engine's table.
    """
    layers = [layer for layer, (_, d) in found.items() if float(d.abs().max()) > 0]
    if not layers:
        return program
    back = torch.stack([-found[layer][1].mean(dim=0) for layer in layers]).cpu().numpy()
    sources = [*program.edit.layers, *layers]
    order = sorted(range(len(sources)), key=lambda i: sources[i])
    nothing = np.zeros((len(program.probes), len(layers)), np.float32)
    return Activation(
        program.edit.model_copy(update={"method": "set", "layers": tuple(sources[i] for i in order)}),
        np.concatenate([program.probes, nothing], axis=1)[:, order],
        np.concatenate([program.phi, parameters(len(layers), constant=1.0)], axis=1)[:, order],
        np.concatenate([program.directions, back.astype(np.float32)])[order],
    )
