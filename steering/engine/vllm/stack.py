"""One assistant inside vLLM: the first layers of the served model's class and its norm, with weights of their own.

It is built by vLLM's own model class, so that its attention layers register themselves: vLLM gives them paged KV caches
under the model's block tables, and chunks, preempts and caches them with it. Embeddings and head are the model's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from steering.engine.vllm.compat import IncompatibleError
from steering.program import ProgramError

Weights = Mapping[str, NDArray[np.float32]]
"""Tensors of one assistant, named as in the published model below `model`."""


class Stack:
    """A truncated copy of the served model, whose weights can be replaced between two steps.

    Attributes:
        layers: its number of decoder layers.
        shapes: of the weights that it takes, by their published names.
    """

    def __init__(self, number: int, layers: int, config: Any, model: Any, device: torch.device) -> None:
        """Build an empty one. `config`: vLLM's; `model`: the served one, loaded. Raises `IncompatibleError`."""
        from vllm.compilation.backends import set_model_tag  # noqa: PLC0415 - runs inside vLLM only
        from vllm.config import set_current_vllm_config  # noqa: PLC0415 - see above
        from vllm.model_executor.layers.attention import Attention  # noqa: PLC0415 - see above
        from vllm.model_executor.layers.linear import LinearBase  # noqa: PLC0415 - see above
        from vllm.utils.torch_utils import set_default_torch_dtype  # noqa: PLC0415 - see above

        self.layers, self._dtype = layers, config.model_config.dtype
        small = config.with_hf_config(_cut(config.model_config.hf_config, layers))
        self.shapes = _shapes(small.model_config.hf_config)
        # a name of its own for the attention layers, and for the compiled artefact
        name = f"lethe_assistant_{number}"
        with (
            set_current_vllm_config(small),
            set_model_tag(name),
            set_default_torch_dtype(self._dtype),
            torch.device(device),
        ):
            self.network = type(model.model)(vllm_config=small, prefix=name)
        del self.network.embed_tokens
        for module in self.network.modules():
            if isinstance(module, Attention):
                module.process_weights_after_loading(self._dtype)
            elif isinstance(module, LinearBase) and device.type == "cpu":
                # vLLM's products for CPUs copy the weights into a layout of their own, where they cannot be replaced
                module.cpu_linear = torch.nn.functional.linear
        self.clear()

    def __call__(self, embeddings: Tensor, positions: Tensor) -> Tensor:
        """Normed hidden states [n, hidden] of embedded tokens; runs in vLLM's forward context."""
        hidden: Tensor = self.network(None, positions, None, inputs_embeds=embeddings)
        return hidden

    def check(self, weights: Weights) -> None:
        """Raise `ProgramError` for weights that do not fit."""
        given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        odd = sorted(name for name in self.shapes.keys() | given.keys() if self.shapes.get(name) != given.get(name))
        if odd:
            raise ProgramError(
                f"the assistant does not fit the model, see {odd[0]}; run `lethe compile` for this model"
            )

    def load(self, weights: Weights) -> None:
        """Replace the weights. Raises `ProgramError`."""
        self.check(weights)
        loaded = self.network.load_weights((name, torch.from_numpy(t).to(self._dtype)) for name, t in weights.items())
        if lacking := sorted({name for name, _ in self.network.named_parameters()} - set(loaded)):
            self.clear()
            raise ProgramError(f"this vLLM takes no weights for {lacking[0]} of the assistant")

    def clear(self) -> None:
        """Forget the weights."""
        for parameter in self.network.parameters():
            parameter.data.zero_()


def _cut(config: Any, layers: int) -> Any:
    """The model's configuration with its first layers only. Raises `IncompatibleError`."""
    have = config.num_hidden_layers
    if not 1 <= layers <= have:
        raise IncompatibleError(f"--assistants {layers}: the model has {have} layers")
    cut = copy.deepcopy(config)
    cut.num_hidden_layers = layers
    if getattr(cut, "layer_types", None):
        cut.layer_types = cut.layer_types[:layers]
    return cut


def _shapes(config: Any) -> dict[str, tuple[int, ...]]:
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - heavy

    with torch.device("meta"):
        published = AutoModelForCausalLM.from_config(config).model
    own = ("layers.", "norm.")
    return {name: tuple(tensor.shape) for name, tensor in published.state_dict().items() if name.startswith(own)}
