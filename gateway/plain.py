"""Which requests are answered with a plain stream, that can be looked at while it comes and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.refusal import CHAT

FIELDS = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "min_p",
        "model",
        "n",
        "prompt_cache_key",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "top_k",
        "top_p",
        "user",
    }
)
"""What a plain request may hold: fields that mean the same for the rest of an answer as for all of it. Penalties count
the tokens of the whole answer, stop strings may lie across the place where it is taken up; tools, grammars, reasoning
and log-probabilities show more than one text."""
LIMITS = ("max_tokens", "max_completion_tokens")
"""Fields that limit the tokens of an answer."""


def plain(route: str, body: Mapping[str, Any]) -> bool:
    """Whether a sanitised body asks for one streamed text and nothing else."""
    if route != CHAT or not body.get("stream") or body.get("n") not in (None, 1):
        return False
    if any(value not in (None, False, [], {}) for name, value in body.items() if name not in FIELDS):
        return False
    if (body.get("stream_options") or {}).get("continuous_usage_stats"):
        return False
    if any(type(body.get(name)) not in (int, type(None)) for name in LIMITS):
        return False
    return bool(body["messages"][-1]["role"] != "assistant")
