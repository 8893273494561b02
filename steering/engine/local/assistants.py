"""Assistants beside a batch: truncated copies of the served network that share its embeddings and its head."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from steering.assistant import Difference
from steering.engine.local.residual import decoder_layers
from steering.logits import taken
from steering.program import ProgramError


def truncated(network: Any, layers: int, weights: Mapping[str, NDArray[np.float32]] | None = None) -> Any:
    """First layers of a Llama-type network with its norm, and its own embeddings and head: a network of the same class.

    Layers and norm hold `weights`, or copies of the network's own. Raises `ProgramError` for weights that do not fit,
    `EngineFaultError` for another type of network.
    """
    own = decoder_layers(network)
    if layers > len(own):
        raise ProgramError(f"assistants of {layers} layers for a model that has {len(own)}")
    config = copy.deepcopy(network.config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    with torch.device("meta"):
        small = type(network)(config)
    small.model.rotary_emb = network.model.rotary_emb
    small.set_input_embeddings(network.get_input_embeddings())
    small.set_output_embeddings(network.get_output_embeddings())
    kept = {name: tensor for name, tensor in network.model.state_dict().items() if name in _own(small)}
    like = next(network.parameters())
    if weights is None:
        state = {name: tensor.detach().clone() for name, tensor in kept.items()}
    else:
        state = {name: torch.from_numpy(array).to(like.device, like.dtype) for name, array in weights.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in kept.items()}
    if (given := {name: tuple(tensor.shape) for name, tensor in state.items()}) != shapes:
        odd = sorted(name for name in shapes.keys() | given.keys() if shapes.get(name) != given.get(name))
        raise ProgramError(f"the assistant does not fit the model, see {odd[0]}; run `lethe compile` for this model")
    small.model.load_state_dict(state, strict=False, assign=True)
    return small.eval().requires_grad_(False)


def _own(small: Any) -> set[str]:
    return {name for name in small.model.state_dict() if name.startswith(("layers.", "norm."))}


def trained(small: Any) -> dict[str, NDArray[np.float32]]:
    """Layers and norm of an assistant, as `truncated` takes them."""
    names = _own(small)
    return {name: t.detach().float().cpu().numpy() for name, t in small.model.state_dict().items() if name in names}


@dataclass(slots=True)
class Lane:
    """The assistants of one program beside a batch, which run over all of its rows.

    Attributes:
        networks: one per role of the program.
        doses: per row; 0 where the row is not under this program.
        caches: KV caches of the assistants, or None for each where nothing is decoded.
    """

    program: Difference
    networks: Sequence[Any]
    doses: list[float]
    caches: list[Any]

    def merge(self, logits: Tensor, **inputs: Any) -> Tensor:
        """Run the assistants on the network's own inputs: logits [rows, positions, vocabulary] -> merged ones."""
        _, width, vocabulary = logits.shape
        said = [
            network(**inputs, past_key_values=cache, use_cache=cache is not None).logits.float()
            for network, cache in zip(self.networks, self.caches, strict=True)
        ]
        program, device = self.program.difference, logits.device
        at = [program.at(dose) if dose else (0.0, 0) for dose in self.doses for _ in range(width)]
        alpha, rank = (torch.tensor(column, device=device) for column in zip(*at, strict=True))
        flat = [one.reshape(-1, vocabulary) for one in (logits, *said)]
        return taken(flat[0], flat[1:], program, alpha, rank).reshape(logits.shape)

    def select(self, rows: Sequence[int], index: Tensor) -> None:
        """Keep these rows, in this order."""
        self.doses = [self.doses[row] for row in rows]
        for cache in self.caches:
            cache.reorder_cache(index)
