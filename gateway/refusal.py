"""The fixed answer of policies with `response: refusal`, in the shape of a normal answer."""

from __future__ import annotations

import secrets
import time
from typing import Any

import orjson

from gateway.fields import is_token_ids
from gateway.stream import DONE, event

TEXT = "I can't help with that."
CHAT = "/v1/chat/completions"
MOST = 16_384
"""Choices of one refusal; vLLM refuses a larger `n` by default (`VLLM_MAX_N_SEQUENCES`)."""


def refusal(route: str, body: dict[str, Any]) -> tuple[bytes, str]:
    """Body and content type of a refusal to a sanitised request; honours `stream`, `include_usage`, `n` and rows."""
    count = min(_rows(body.get("prompt")) * (body.get("n") or 1), MOST)
    chat = route == CHAT
    streamed = bool(body.get("stream"))
    head = {
        "id": ("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(16),
        "object": ("chat.completion" if chat else "text_completion") + (".chunk" if chat and streamed else ""),
        "created": int(time.time()),
        "model": body["model"],
    }
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    if not streamed:
        choices = [_choice(i, chat) for i in range(count)]
        return orjson.dumps({**head, "choices": choices, "usage": usage}), "application/json"
    frames = []
    for i in range(count):
        start: dict[str, Any] = {"delta": {"role": "assistant", "content": TEXT}} if chat else {"text": TEXT}
        end: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
        frames.append({**head, "choices": [{"index": i, **start, "logprobs": None, "finish_reason": None}]})
        frames.append({**head, "choices": [{"index": i, **end, "logprobs": None, "finish_reason": "stop"}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        frames.append({**head, "choices": [], "usage": usage})
    data = b"".join(event(orjson.dumps(frame)) for frame in frames) + DONE[0] + b"\n\n"
    return data, "text/event-stream; charset=utf-8"


def _rows(prompt: Any) -> int:
    """Prompts of a batch; a list of token ids is one."""
    return len(prompt) if isinstance(prompt, list) and not is_token_ids(prompt) else 1


def _choice(index: int, chat: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"message": {"role": "assistant", "content": TEXT}} if chat else {"text": TEXT}
    return {"index": index, **said, "logprobs": None, "finish_reason": "stop"}
