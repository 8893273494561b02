"""What the plug-in was tested with, and checks of vLLM's private interfaces that raise at start-up.

| vLLM   | model runner | tested on                    | tests                        |
|--------|--------------|------------------------------|------------------------------|
| 0.32.x | V1           | CPU, float32, eager          | `tests/steering/engine/vllm` |

Run on that as well, eager: LoRA adapters. vLLM's CPU kernels give requests without an adapter the weights of the last
place where another request of the batch has one (vllm-project/vllm, pull request 48421): raise `--max-loras` above the
number of adapters there.

Model runner V2 (`mrv2.py`) is written against the sources of 0.25.1 and 0.32.0 and has not run yet. Whatever is not in
the table is refused unless `LETHE_ALLOW_UNTESTED=1`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

TESTED = {("0.32", "v1")}
ARCHITECTURES = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}
"""Model classes whose `model.embed_tokens` is the only way of a token into the network, as tested."""

LAYERS = {"LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
"""Decoder layers that return (hidden, residual), whose sum is the residual stream, as tested."""

ASSISTED = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}
"""Model classes that have assistants beside them, as tested: `model` is the stack of layers and takes embeddings."""

ALLOW = "LETHE_ALLOW_UNTESTED"


class IncompatibleError(RuntimeError):
    """This vLLM cannot run interventions; starting without them would answer flagged requests unsteered."""


def allow_untested() -> bool:
    """Whether the operator accepts combinations that are not in the table."""
    return os.environ.get(ALLOW) == "1"


def check_version(version: str, runner: str) -> None:
    """Raise `IncompatibleError` unless this minor version and model runner are in the table."""
    minor = ".".join(version.split(".")[:2])
    if (minor, runner) not in TESTED and not allow_untested():
        tested = ", ".join(f"{v} with model runner {r}" for v, r in sorted(TESTED))
        raise IncompatibleError(
            f"lethe is tested with vLLM {tested}; this is {version} with model runner {runner}. "
            f"Install a tested version, or set {ALLOW}=1 at your own risk"
        )


def check_config(config: Any) -> None:
    """Refuse engine options under which isolation or completeness was never shown."""
    refused = {
        "speculative decoding": config.speculative_config is not None,
        "pipeline parallelism": config.parallel_config.pipeline_parallel_size > 1,
        "--enable-prompt-embeds": config.model_config.enable_prompt_embeds,
        "KV connectors": config.kv_transfer_config is not None,
        "data parallelism": config.parallel_config.data_parallel_size > 1,
        "multimodal models": config.model_config.is_multimodal_model,
    }
    present = [name for name, on in refused.items() if on]
    if present:
        raise IncompatibleError(f"lethe does not support {', '.join(present)} yet; start the engine without")


def check_assistants(config: Any, architecture: str) -> None:
    """Refuse models and options beside which assistants were never shown to run."""
    if architecture not in ASSISTED and not allow_untested():
        known = ", ".join(sorted(ASSISTED))
        raise IncompatibleError(
            f"--assistants: not tested with {architecture} (tested: {known}); {ALLOW}=1 tries anyway"
        )
    refused = {
        "quantised models": config.model_config.quantization is not None,
        # which assistants run is decided before every step
        'full CUDA graphs, use --compilation-config \'{"cudagraph_mode": "PIECEWISE"}\'': (
            config.compilation_config.cudagraph_mode.has_full_cudagraphs()
        ),
        "batch-sharded sampling": config.parallel_config.enable_batch_sharded_sampling,
    }
    present = [name for name, on in refused.items() if on]
    if present:
        raise IncompatibleError(f"--assistants is not supported with {'; '.join(present)}")


def require(owner: Any, name: str, *parameters: str) -> Callable[..., Any]:
    """Return `owner.name` as defined there, after checking that it takes `parameters` in this order, first of all."""
    target = vars(owner).get(name)
    where = f"{getattr(owner, '__module__', '')}.{getattr(owner, '__name__', owner)}.{name}"
    if not callable(target):
        raise IncompatibleError(f"vLLM has no {where}; this version is not supported by lethe")
    have = tuple(inspect.signature(target).parameters)
    if have[: len(parameters)] != parameters:
        raise IncompatibleError(f"{where} takes {have}, lethe expects {parameters}; this version is not supported")
    checked: Callable[..., Any] = target
    return checked


def wrap(owner: Any, name: str, make: Callable[[Any], Callable[..., Any]], *parameters: str) -> None:
    """Replace `owner.name` by `make(original)`, once; plug-ins are loaded several times in one process."""
    target = vars(owner).get(name)
    if getattr(target, "__lethe__", False):
        return
    original = require(owner, name, *parameters)
    replacement = update_wrapper(make(original), original)
    replacement.__lethe__ = True  # type: ignore[attr-defined]
    setattr(owner, name, replacement)
