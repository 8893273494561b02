"""Do a flagged and an unflagged request with the same beginning share KV blocks? Seen from outside, over HTTP."""

from __future__ import annotations

import random
import re
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.leakage.client import Server
from benchmarks.leakage.servers import Engine
from benchmarks.probes.jailbreak import padding
from benchmarks.side_channels.ask import Turn
from benchmarks.side_channels.load import Ask
from benchmarks.side_channels.questions import Question
from benchmarks.side_channels.seen import Seen
from steering.fence import AUTH_HEADER, sign

WORDS = 120
"""Of the common beginning: several blocks of 32 tokens."""
_HITS = re.compile(rb"^vllm:prefix_cache_hits_total\{[^}]*\} (\S+)$", re.MULTILINE)
ORDERS: Mapping[str, tuple[str, ...]] = {
    "unflagged first": ("unflagged", "unflagged", "flagged", "flagged", "unflagged"),
    "flagged first": ("flagged", "unflagged", "flagged"),
}
"""Who asks after whom, under one cache salt of the client."""


def sharing(
    ask: Ask, server: Server, engine: Engine, pairs: Sequence[tuple[Question, Question]], seed: int
) -> dict[str, Any]:
    """Ask pairs of (unflagged, flagged) questions with a common beginning in several orders.

    Tokens that came from the cache are read from the engine's own counter, by who asked after whom had asked; the
    answers of a kind must be equal whoever asked before. Raises `RuntimeError` for an engine without the counter.
    """
    draw = random.Random(f"prefix/{seed}")
    cached: dict[str, list[int]] = {}
    changed = {"unflagged": 0, "flagged": 0}
    for number, (unflagged, flagged) in enumerate(pairs):
        beginning = padding(WORDS, draw)
        asked = {"unflagged": _after(beginning, unflagged), "flagged": _after(beginning, flagged)}
        texts: dict[str, set[str]] = {"unflagged": set(), "flagged": set()}
        for name, order in ORDERS.items():
            before: set[str] = set()
            for kind in order:
                start = hits(engine)
                seen = _one(ask, Turn("", server, asked[kind], {"cache_salt": f"prefix/{seed}/{number}/{name}"}))
                texts[kind].add(seen.text)
                history = " and ".join(sorted(before)) or "nobody"
                cached.setdefault(f"{kind} after {history}", []).append(hits(engine) - start)
                before.add(kind)
        for kind, found in texts.items():
            changed[kind] += len(found) > 1
    return {
        "pairs": len(pairs),
        "cached tokens": {name: {"min": min(found), "max": max(found)} for name, found in cached.items()},
        "pairs whose answer depends on who asked before": changed,
    }


def hits(engine: Engine) -> int:
    """Prompt tokens that the engine has taken from its prefix cache so far."""
    value, _ = sign(engine.key.encode(), "GET", "/metrics", b"")
    request = urllib.request.Request(f"{engine.url}/metrics", headers={AUTH_HEADER: value})  # noqa: S310 - loopback
    time.sleep(0.02)  # the counter follows the answer
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - loopback
        found = _HITS.findall(response.read())
    if not found:
        raise RuntimeError(f"the engine at {engine.url} does not count hits of its prefix cache; use --backend vllm")
    return int(sum(map(float, found)))


def _after(beginning: str, question: Question) -> Question:
    (message,) = question.body["messages"]
    messages = [{**message, "content": f"{beginning} {message['content']}"}]
    return replace(question, body={**question.body, "messages": messages})


def _one(ask: Ask, turn: Turn) -> Seen:
    (answers,) = ask([turn]).values()
    return answers[0]
