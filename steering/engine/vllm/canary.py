"""Proof on the running engine that a program takes effect, spares others, and does not leak through the cache."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from steering.engine.vllm.table import EXTRA_ARG

PROBE_TOKENS = 160  # several KV blocks of every usual size, so that sharing one would be seen
SAME = {"float32": 1e-3}
"""Largest difference in nats between equal probes. They may share a batch with other traffic, so not bits (E2)."""
SAME_HALF = 0.25  # bfloat16 and float16 round differently when part of a prompt comes from the cache


@dataclass(frozen=True, slots=True)
class Probe:
    """First-token log-probabilities of the likeliest tokens, and how many prompt tokens came from the cache."""

    logprobs: dict[int, float]
    cached: int

    def distance(self, other: Probe) -> float:
        """Largest difference over the tokens both know; infinite where they share none."""
        shared = self.logprobs.keys() & other.logprobs.keys()
        return max((abs(self.logprobs[t] - other.logprobs[t]) for t in shared), default=float("inf"))


async def run_canary(generate: Any, program: str, generation: int, config: Any) -> dict[str, Any]:
    """Run a few probes through the unhooked `generate`; the result has "ok" and one entry per check.

    `config`: vLLM's model configuration.
    """
    vocabulary, same = config.get_vocab_size(), SAME.get(str(config.dtype).removeprefix("torch."), SAME_HALF)
    ids = [3 + (7919 * i) % (vocabulary - 3) for i in range(1, PROBE_TOKENS + 1)]
    # with the last token: an edit after the last layer changes the first answer token through no other
    order = [program, generation, 1.0, [1, PROBE_TOKENS]]
    salt, other = secrets.token_hex(8), secrets.token_hex(8)
    clean = await _probe(generate, ids, None, salt)
    flagged = await _probe(generate, ids, order, salt)
    again = await _probe(generate, ids, None, salt)
    fresh = await _probe(generate, ids, None, other)
    differs = clean.distance(flagged) > 2 * same
    if not differs:  # a difference of logits may spare the first answer tokens, but not what the prompt says
        differs = (await _scores(generate, ids, None)).distance(await _scores(generate, ids, order)) > 2 * same
    checks = {
        "flagged_differs": differs,
        "flagged_reuses_nothing": flagged.cached == 0,
        "unflagged_unchanged": clean.distance(again) < same and clean.distance(fresh) < same,
        "salts_separate": fresh.cached == 0,
    }
    return {"ok": all(checks.values()), "program": program, "checks": checks, "unflagged_cached": again.cached}


async def _probe(generate: Any, ids: list[int], order: list[Any] | None, salt: str) -> Probe:
    final = await _answer(generate, ids, order, salt, logprobs=5)
    if final is None or not final.outputs[0].logprobs:
        return Probe({}, -1)
    first = final.outputs[0].logprobs[0]
    return Probe({token: entry.logprob for token, entry in first.items()}, final.num_cached_tokens or 0)


async def _scores(generate: Any, ids: list[int], order: list[Any] | None) -> Probe:
    """Log-probabilities of the prompt's own tokens, by their place."""
    final = await _answer(generate, ids, order, secrets.token_hex(8), prompt_logprobs=0)
    rows = final.prompt_logprobs if final is not None else None
    found = zip(range(1, len(ids)), ids[1:], (rows or [None])[1:], strict=False)
    return Probe({place: row[token].logprob for place, token, row in found if row and token in row}, -1)


async def _answer(generate: Any, ids: list[int], order: list[Any] | None, salt: str, **options: Any) -> Any:
    from vllm import SamplingParams  # noqa: PLC0415 - runs inside vLLM only

    extra = {EXTRA_ARG: order} if order else None
    params = SamplingParams(max_tokens=1, temperature=0.0, extra_args=extra, **options)
    request = f"lethe-canary-{secrets.token_hex(6)}"
    final = None
    async with asyncio.timeout(120):
        async for output in generate({"prompt_token_ids": ids, "cache_salt": salt}, params, request):
            final = output
    return final
