"""Adapter for vLLM's model runner V2 (GPU default). Written against 0.32.0; not run yet, see `compat.py`.

Preempted requests come back as new ones with their prompt, so nothing needs to survive a preemption here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steering.engine.vllm.compat import wrap
from steering.engine.vllm.surgery import installing
from steering.engine.vllm.table import StepRow, flagged_orders


def patch() -> None:
    """Wrap model loading, request bookkeeping, input preparation and sampling of the V2 runner."""
    from vllm.v1.worker.gpu.model_runner import GPUModelRunner  # noqa: PLC0415 - vLLM loads the plug-in, not we vLLM

    wrap(GPUModelRunner, "load_model", installing("v2"), "self")
    wrap(GPUModelRunner, "finish_requests", _finish_requests, "self", "scheduler_output")
    wrap(GPUModelRunner, "add_requests", _add_requests, "self", "scheduler_output")
    wrap(GPUModelRunner, "prepare_inputs", _prepare_inputs, "self", "scheduler_output")
    wrap(GPUModelRunner, "sample_tokens", _sample_tokens, "self", "grammar_output")


def _finish_requests(original: Any) -> Any:
    def finish_requests(self: Any, scheduler_output: Any) -> Any:
        gone = scheduler_output.finished_req_ids | (scheduler_output.preempted_req_ids or set())
        self.lethe.finish(gone)
        for request in gone:
            self.lethe_flagged.pop(request, None)
        return original(self, scheduler_output)

    return finish_requests


def _add_requests(original: Any) -> Any:
    def add_requests(self: Any, scheduler_output: Any) -> Any:
        orders = flagged_orders(scheduler_output.scheduled_new_reqs)
        prompts = {new.req_id: new.prompt_token_ids or [] for new in scheduler_output.scheduled_new_reqs}
        self.lethe_flagged.update({request: (order, prompts[request]) for request, order in orders.items()})
        return original(self, scheduler_output)

    return add_requests


def _prepare_inputs(original: Any) -> Any:
    def prepare_inputs(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        batch = original(self, scheduler_output, *args, **kwargs)
        # Before the forward pass and before a graph is replayed; the copies below are ordered on the same stream.
        self.lethe.fill(_rows(self.lethe_flagged, batch) if self.lethe_flagged else ())
        return batch

    return prepare_inputs


def _rows(flagged: dict[str, Any], batch: Any) -> Iterator[StepRow]:
    for index, request in enumerate(batch.req_ids):
        entry = flagged.get(request)
        if entry is None:
            continue
        order, prompt = entry
        start, stop = int(batch.query_start_loc_np[index]), int(batch.query_start_loc_np[index + 1])
        yield StepRow(request, start, stop - start, int(batch.num_computed_tokens_np[index]), prompt, order)


def _sample_tokens(original: Any) -> Any:
    def sample_tokens(self: Any, grammar_output: Any, *args: Any, **kwargs: Any) -> Any:
        output = original(self, grammar_output, *args, **kwargs)
        records = self.lethe.take()
        if records and output is not None:
            getattr(output, "model_runner_output", output).lethe = records
        return output

    return sample_tokens
