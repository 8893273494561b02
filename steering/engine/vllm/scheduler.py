"""Engine core side: carry attestations to the API process, and end requests that could not be edited.

A failed request is finished with an error and its blocks are evicted: it left unedited KV under a flagged hash. The
program's generation in the hash (`cache.py`) closes the window before the eviction.
"""

from __future__ import annotations

from typing import Any

from steering.engine.vllm.compat import require, wrap


def patch() -> None:
    """Wrap `Scheduler.update_from_output`."""
    from vllm.v1.core.sched.scheduler import Scheduler  # noqa: PLC0415 - vLLM is imported when it loads the plug-in

    require(Scheduler, "finish_requests", "self", "request_ids", "finished_status")
    wrap(Scheduler, "update_from_output", _update, "self", "scheduler_output", "model_runner_output")


def _update(original: Any) -> Any:
    def update_from_output(self: Any, scheduler_output: Any, model_runner_output: Any) -> Any:
        records: dict[str, list[Any]] = getattr(model_runner_output, "lethe", None) or {}
        if not records:
            return original(self, scheduler_output, model_runner_output)
        failed = {name: self.requests[name] for name, r in records.items() if r[-1] != "ok" and name in self.requests}
        blocks = {b for name in failed for group in self.kv_cache_manager.get_block_ids(name) for b in group}
        outputs = original(self, scheduler_output, model_runner_output)
        _carry(outputs, records, failed)
        if failed:
            _end(self, failed, blocks)
        return outputs

    return update_from_output


def _carry(outputs: Any, records: dict[str, list[Any]], failed: dict[str, Any]) -> None:
    """Put every record on its request's output; a failed request gets an output even in a step that made no token."""
    from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, FinishReason  # noqa: PLC0415 - see above

    seen = set()
    for per_client in outputs.values():
        for output in per_client.outputs:
            if output.request_id in records:
                seen.add(output.request_id)
                output.kv_transfer_params = {"lethe": records[output.request_id]}
                if output.request_id in failed:
                    output.new_token_ids, output.new_logprobs = [], None
                    output.finish_reason = FinishReason.ERROR
    for name, request in failed.items():
        if name not in seen:
            output = EngineCoreOutput(request_id=name, new_token_ids=[], finish_reason=FinishReason.ERROR)
            output.kv_transfer_params = {"lethe": records[name]}
            if request.client_index not in outputs:
                outputs[request.client_index] = EngineCoreOutputs()
            outputs[request.client_index].outputs.append(output)


def _end(scheduler: Any, failed: dict[str, Any], blocks: set[int]) -> None:
    from vllm.v1.request import RequestStatus  # noqa: PLC0415 - see above

    scheduler.finish_requests([name for name in failed if name in scheduler.requests], RequestStatus.FINISHED_ERROR)
    scheduler.kv_cache_manager.evict_blocks(blocks)
