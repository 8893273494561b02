"""Adapter for vLLM's model runner V1 (all CPU runs): batch rows -> `StepRow`s, and the attestation on the output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from steering.engine.vllm.compat import wrap
from steering.engine.vllm.surgery import installing
from steering.engine.vllm.table import StepRow, flagged_orders


def patch() -> None:
    """Wrap model loading, state updates, input preparation and sampling of the V1 runner."""
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner  # noqa: PLC0415 - vLLM loads the plug-in, not we vLLM
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner  # noqa: PLC0415 - see above

    wrap(GPUModelRunner, "load_model", installing("v1"), "self")
    wrap(CPUModelRunner, "load_model", installing("v1"), "self")
    wrap(GPUModelRunner, "_update_states", _update_states, "self", "scheduler_output")
    wrap(GPUModelRunner, "_prepare_inputs", _prepare_inputs, "self", "scheduler_output", "num_scheduled_tokens")
    wrap(GPUModelRunner, "sample_tokens", _sample_tokens, "self", "grammar_output")


def _update_states(original: Any) -> Any:
    def update_states(self: Any, scheduler_output: Any) -> Any:
        self.lethe.finish(scheduler_output.finished_req_ids)
        for request in scheduler_output.finished_req_ids:
            self.lethe_flagged.pop(request, None)
        self.lethe_flagged.update(flagged_orders(scheduler_output.scheduled_new_reqs))
        return original(self, scheduler_output)

    return update_states


def _prepare_inputs(original: Any) -> Any:
    def prepare_inputs(self: Any, scheduler_output: Any, num_scheduled_tokens: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, scheduler_output, num_scheduled_tokens, *args, **kwargs)
        # From here on the row order is final.
        self.lethe.fill(_rows(self, num_scheduled_tokens) if self.lethe_flagged else ())
        return result

    return prepare_inputs


def _rows(runner: Any, scheduled: Any) -> Iterator[StepRow]:
    batch = runner.input_batch
    starts = np.cumsum(scheduled) - scheduled
    for request, order in runner.lethe_flagged.items():
        index = batch.req_id_to_index.get(request)
        if index is None:  # waiting, or preempted
            continue
        prompt = runner.requests[request].prompt_token_ids or []
        position = int(batch.num_computed_tokens_cpu[index])
        yield StepRow(request, int(starts[index]), int(scheduled[index]), position, prompt, order)


def _sample_tokens(original: Any) -> Any:
    def sample_tokens(self: Any, grammar_output: Any, *args: Any, **kwargs: Any) -> Any:
        output = original(self, grammar_output, *args, **kwargs)
        records = self.lethe.take()
        if records:
            # a plain attribute of a plain dataclass: it survives pickling on its way to the engine core
            getattr(output, "_model_runner_output", output).lethe = records
        return output

    return sample_tokens
