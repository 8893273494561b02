"""What a scan costs: 512 tokens, a megabyte, and the next turn of a short and of a long conversation.

Wall-clock time is what a client waits; processor time of this process says the same on a machine that does other work.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.guards.families import Padding
from guards.guard import Guard
from guards.verdict import TextPart

TOKENS, MEGABYTE = 512, 1_000_000
SHORT, LONG = 2, 100
"""Turns of the conversations whose last turn is timed."""
TURN = 60
"""Tokens of a turn."""


def speed(guard: Guard, padding: Padding, rounds: int) -> dict[str, Any]:
    """Wall-clock milliseconds of one process; harmless text that was never scanned before.

    The two conversations are timed in turn, so that a change of the machine's load meets both.
    """
    draw = random.Random("speed")
    news = [f"{i} {padding.cut(TOKENS, draw)}" for i in range(rounds + 20)]
    for text in news[rounds:]:
        _scan(guard, [text])
    each = [_timed(partial(_scan, guard, [text])) for text in news[:rounds]]
    whole = " ".join(padding.words)
    body = (whole * (MEGABYTE // len(whole) + 1))[:MEGABYTE]
    megabyte = [_timed(partial(_scan, guard, [f"{i} {body}"])) for i in range(3)]
    turns = {length: _conversation(guard, padding, length, draw) for length in (SHORT, LONG)}
    times: dict[int, list[tuple[float, float]]] = {SHORT: [], LONG: []}
    for i in range(rounds):
        for length, before in turns.items():
            last = f"{length} {i} {padding.cut(TURN, draw)}"
            times[length].append(_timed(partial(_scan, guard, [*before, last])))
    short, long = (np.median(times[length], axis=0) for length in (SHORT, LONG))
    p50, p99 = np.quantile(each, 0.5, axis=0), np.quantile(each, 0.99, axis=0)
    body_ms = np.median(megabyte, axis=0)
    return {
        "policies": len(guard.policies),
        "tokens": TOKENS,
        "p50_ms": round(float(p50[0]), 3),
        "p50_cpu_ms": round(float(p50[1]), 3),
        "p99_ms": round(float(p99[0]), 3),
        "ms_per_megabyte": round(float(body_ms[0]), 1),
        "cpu_ms_per_megabyte": round(float(body_ms[1]), 1),
        f"new_turn_of_{SHORT}_ms": round(float(short[0]), 3),
        f"new_turn_of_{LONG}_ms": round(float(long[0]), 3),
        "new_turn_ratio": round(float(long[0] / short[0]), 3),
        "new_turn_cpu_ratio": round(float(long[1] / short[1]), 3),
        "rounds": rounds,
    }


def _conversation(guard: Guard, padding: Padding, length: int, draw: random.Random) -> list[str]:
    """All turns but the last one, scanned as they came."""
    turns = [f"{length} {i} {padding.cut(TURN, draw)}" for i in range(length - 1)]
    for i in range(len(turns)):
        _scan(guard, turns[: i + 1])
    return turns


def _scan(guard: Guard, turns: list[str]) -> None:
    guard.scan([TextPart(f"/messages/{i}/content", ("user", "assistant")[i % 2], t) for i, t in enumerate(turns)])


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and processor milliseconds of a call."""
    start, cpu = time.perf_counter(), time.process_time()
    call()
    return (time.perf_counter() - start) * 1e3, (time.process_time() - cpu) * 1e3
