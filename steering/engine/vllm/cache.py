"""Isolation of the prefix cache: every KV block's hash carries the edit state of that block.

`cache_salt`, set by the gateway, is the first fence; this is the second, and it does not depend on the gateway.
Assistants of logit differences rest on it as well: their KV exists in the blocks of flagged requests only.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from steering.engine.vllm.compat import wrap
from steering.engine.vllm.table import EXTRA_ARG


def edit_state(order: Any, start: int, end: int, prompt: int) -> str:
    """Digest of what an order does to the tokens `[start, end)` of a request whose prompt has `prompt` tokens.

    Program, generation and dose are part of every block of a flagged request, so flagged and unflagged requests share
    no block, and neither do two versions of a program. Spans are clipped to the block and absolute, because noise
    depends on the position: two flagged requests of one program share a prefix up to the first difference of masks.
    Whether there are spans at all is part of every block: for a row of a flagged batch without any, no assistant runs.
    An activation edit treats generated tokens as well, so a block that reaches beyond the prompt carries where it ends:
    the next turn of a conversation has the same tokens there as part of its prompt.
    """
    try:
        program, generation, dose, spans = order
        pairs = zip(spans[::2], spans[1::2], strict=True)
        clipped = [(max(a, start), min(b, end)) for a, b in pairs if a < end and start < b]
        beyond = [prompt] if end > prompt else []
        state = json.dumps([program, generation, float(dose).hex(), bool(spans), clipped, *beyond])
    except (TypeError, ValueError):
        # The worker will end this request. An exception here would end the engine, so it gets a state of its own.
        state = f"malformed {order!r}"
    return hashlib.sha256(state.encode()).hexdigest()


def isolate() -> None:
    """Patch vLLM's block hash wherever the function is known by name."""
    from vllm.v1.core import block_pool, kv_cache_utils  # noqa: PLC0415 - vLLM is imported when it loads the plug-in
    from vllm.v1.simple_kv_offload import manager  # noqa: PLC0415 - see above

    def with_edit_state(original: Any) -> Any:
        def generate_block_hash_extra_keys(request: Any, start: int, end: int, start_mm_idx: int) -> Any:
            keys, index = original(request, start, end, start_mm_idx)
            params = request.sampling_params
            order = (params.extra_args or {}).get(EXTRA_ARG) if params is not None else None
            if order is None:
                return keys, index
            return (*(keys or ()), (EXTRA_ARG, edit_state(order, start, end, request.num_prompt_tokens))), index

        return generate_block_hash_extra_keys

    name = "generate_block_hash_extra_keys"
    parameters = ("request", "start_token_idx", "end_token_idx", "start_mm_idx")
    wrap(kv_cache_utils, name, with_edit_state, *parameters)
    for module in (block_pool, manager):
        setattr(module, name, getattr(kv_cache_utils, name))
