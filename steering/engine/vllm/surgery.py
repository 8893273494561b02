"""Puts the sites into a loaded vLLM model: the classes of `embed_tokens` and of the edited decoder layers are replaced
by subclasses, and that of the whole model where assistants run beside it.

Parameter names stay as they are, Dynamo traces the new forward, and no fork of vLLM is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from steering.activation import PHI
from steering.engine.vllm.assistants import Assistants, reserved
from steering.engine.vllm.bank import Bank, configured
from steering.engine.vllm.compat import (
    ALLOW,
    ARCHITECTURES,
    LAYERS,
    IncompatibleError,
    allow_untested,
    check_assistants,
    check_config,
    check_version,
)
from steering.engine.vllm.stack import Stack
from steering.engine.vllm.table import EditTable
from steering.ops import corrupt, edit

SITE = "embed"
GATES = PHI.index("gates")


@torch.library.custom_op("lethe::corrupt", mutates_args={"x", "echo"})
def corrupt_op(
    x: Tensor,
    edited: Tensor,
    gain: Tensor,
    threshold: Tensor,
    sigma: Tensor,
    weight: Tensor,
    dims: Tensor,
    noise_row: Tensor,
    slot: Tensor,
    noise: Tensor,
    substitute: Tensor,
    step: Tensor,
    echo: Tensor,
) -> None:
    """`steering.ops.corrupt` in place on x [n, hidden], from the persistent buffers; an opaque op for the compiler."""
    n = x.shape[0]
    echo.copy_(step)
    # On a CPU a look at the buffer is cheaper than the work; under CUDA graphs there must be no host branch.
    if x.device.type == "cpu" and not edited[:n].any():
        return
    x.copy_(
        corrupt(
            x, edited[:n], gain[:n], threshold[:n], sigma[:n], dims[:n], noise[noise_row[:n]], weight[:n],
            substitute[slot[:n]],
        )
    )  # fmt: skip


@corrupt_op.register_fake
def _corrupt_fake(x: Tensor, *_: Tensor) -> None:
    return None


@torch.library.custom_op("lethe::edit", mutates_args={"hidden", "gate", "echo"})
def edit_op(
    hidden: Tensor,
    residual: Tensor,
    slot: Tensor,
    gate: Tensor,
    probes: Tensor,
    phi: Tensor,
    members: Tensor,
    directions: Tensor,
    step: Tensor,
    echo: Tensor,
) -> None:
    """`steering.ops.edit` in place on hidden [n, hidden], from the persistent buffers; opaque for the compiler.

    `gate` is the buffer of all sites: what this layer leaves of it is what the next one reads. The table writes it
    again before every step.
    """
    n = hidden.shape[0]
    echo.copy_(step)
    if hidden.device.type == "cpu" and not slot[:n].any():
        return
    gated = hidden.device.type != "cpu" or bool(phi[GATES].any())
    moved, behind = edit(hidden, residual, slot[:n], gate[:n], probes, phi, members, directions, gated=gated)
    hidden.copy_(moved)
    if gated:
        gate[:n].copy_(behind)


@edit_op.register_fake
def _edit_fake(hidden: Tensor, *_: Tensor) -> None:
    return None


def installing(runner_version: str) -> Callable[[Any], Callable[..., Any]]:
    """Wrapper of a runner's `load_model` that installs the site right after the weights are there."""

    def wrapper(original: Any) -> Callable[..., Any]:
        def load_model(self: Any, *args: Any, **kwargs: Any) -> Any:
            import vllm  # noqa: PLC0415 - vLLM loads the plug-in, not we vLLM

            check_version(vllm.__version__, runner_version)
            result = original(self, *args, **kwargs)
            self.lethe = install(self)
            self.lethe_flagged = {}
            return result

        return load_model

    return wrapper


def install(runner: Any) -> EditTable:
    """Install the site in `runner.model` and return the worker's table. Raises `IncompatibleError`."""
    config = runner.vllm_config
    check_config(config)
    model = runner.model
    name = type(model).__name__
    embed = getattr(getattr(model, "model", None), "embed_tokens", None)
    if not isinstance(embed, nn.Module) or (name not in ARCHITECTURES and not allow_untested()):
        known = ", ".join(sorted(ARCHITECTURES))
        raise IncompatibleError(f"no tested edit site in architecture {name} (tested: {known}); {ALLOW}=1 tries anyway")
    base = type(embed)

    def plain(ids: Tensor) -> Tensor:
        out: Tensor = base.forward(embed, ids)
        return out

    tokens = max(config.scheduler_config.max_num_batched_tokens, config.scheduler_config.max_num_seqs)
    edits = configured(config.additional_config)
    depths = reserved(config.additional_config)
    if depths:
        check_assistants(config, name)
    hosts = [Stack(number, layers, config, model, runner.device) for number, layers in enumerate(depths)]
    hidden, dtype = config.model_config.get_hidden_size(), config.model_config.dtype
    table = EditTable(tokens, hidden, runner.device, plain, [SITE], edits, hosts, dtype)
    embed.lethe = table.buffers

    def forward(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        out: Tensor = base.forward(self, *args, **kwargs)
        b = self.lethe
        corrupt_op(
            out, b.edited, b.gain, b.threshold, b.sigma, b.weight, b.dims, b.noise_row, b.slot, b.noise, b.substitute,
            b.step, b.echo,
        )  # fmt: skip
        return out

    embed.__class__ = type(f"Lethe{base.__name__}", (base,), {"forward": forward, "__module__": __name__})
    for layer, bank in table.banks.by_layer.items():
        _attach(model.model, layer, bank)
    if hosts:
        _accompany(model, table.assistants)
    return table


def _attach(stack: Any, layer: int, bank: Bank) -> None:
    """Put an edit site after a decoder layer. Raises `IncompatibleError`."""
    layers = getattr(stack, "layers", ())
    if layer >= len(layers):
        raise IncompatibleError(f"--edit-layers {layer}: the model has layers 0 to {len(layers) - 1}")
    module = layers[layer]
    base = type(module)
    if getattr(base, "__qualname__", "") not in LAYERS and not allow_untested():
        known = ", ".join(sorted(LAYERS))
        raise IncompatibleError(f"no tested edit site after {base.__name__} (tested: {known}); {ALLOW}=1 tries anyway")
    module.lethe = bank

    def forward(self: Any, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        hidden, residual = base.forward(self, *args, **kwargs)
        b = self.lethe
        edit_op(hidden, residual, b.slot, b.gate, b.probes, b.phi, b.members, b.directions, b.step, b.echo)
        return hidden, residual

    module.__class__ = type(f"Lethe{base.__name__}", (base,), {"forward": forward, "__module__": __name__})


def _accompany(model: Any, assistants: Assistants) -> None:
    """Run assistants beside the model, and merge what they say wherever it computes logits."""
    base = type(model)
    model.lethe = assistants

    def forward(self: Any, input_ids: Tensor, positions: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        hidden: Tensor = base.forward(self, input_ids, positions, *args, **kwargs)
        return assistants.beside(hidden, input_ids, positions)

    def compute_logits(self: Any, hidden_states: Tensor) -> Any:
        return assistants.merged(hidden_states, lambda hidden: base.compute_logits(self, hidden))

    def compute_logits_local(self: Any, hidden_states: Tensor) -> Tensor:
        raise IncompatibleError("a share of the vocabulary cannot be merged; `check_assistants` refuses such an engine")

    functions = {"forward": forward, "compute_logits": compute_logits, "compute_logits_local": compute_logits_local}
    model.__class__ = type(f"Lethe{base.__name__}", (base,), {**functions, "__module__": __name__})
