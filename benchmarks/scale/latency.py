"""What N policies cost: time of the guard, added latency through HTTP, memory, and time until a gateway is ready."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.load import COUNTER, run
from benchmarks.overhead import http_request
from benchmarks.scale.bundles import KEY
from benchmarks.scale.detection import ALPHA, plain
from benchmarks.scale.gateways import Gateway, gateway
from benchmarks.scale.levels import Group
from benchmarks.stub import KEY as ENGINE_KEY
from gateway.demo.services import Service, free_port, running
from guards.guard import Guard, Shared
from steering.bundle import read_bundle

TOKENS = (32, 512)
WARM = 20


def running_text(shared: Shared, tokens: int, count: int) -> list[str]:
    """`count` different texts of so many tokens of the guard's encoder, from Python's manual."""
    tokenizer: Any = shared.reader.encoder._tokenizer  # type: ignore[attr-defined]
    words = " ".join(import_module("pydoc_data.topics").topics.values()).split()
    found = []
    for i in range(count):
        begin = i * 37 % (len(words) - tokens)
        ids = tokenizer.encode(" ".join(words[begin : begin + tokens]), add_special_tokens=False).ids[:tokens]
        found.append(f"{i} {tokenizer.decode(ids)}")
    return found


def scan_ms(levels: Mapping[int, Group], shared: Shared, rounds: int) -> dict[int, dict[str, float]]:
    """Level -> seconds to build the guard, and median milliseconds of a scan by tokens of the request.

    The guards take turns in a random order, and no text is scanned twice by the same guard, so that nothing comes from
    its cache.
    """
    guards, found = {}, {}
    for level, group in levels.items():
        start = time.perf_counter()
        guards[level] = Guard.from_parts({one.number: one.guard for one in group.active}, alpha=ALPHA, shared=shared)
        found[level] = {"build_s": round(time.perf_counter() - start, 2)}
    draw = random.Random("turns")
    for tokens in TOKENS:
        listed = running_text(shared, tokens, WARM + rounds)
        times: dict[int, list[float]] = {level: [] for level in guards}
        for i, text in enumerate(listed):
            for level in draw.sample(list(guards), len(guards)):
                start = time.perf_counter()
                guards[level].scan(plain(text))
                if i >= WARM:
                    times[level].append((time.perf_counter() - start) * 1e3)
        for level, values in times.items():
            found[level][f"scan_{tokens}_ms"] = round(median(values), 3)
    return found


def through_http(
    levels: Mapping[int, Group], folder: Path, rounds: int, seconds: float, done: Callable[[], None] = lambda: None
) -> dict[int, dict[str, Any]]:
    """Level -> memory, seconds until ready and added median latency, beside a gateway without policies (level 0).

    The engine is a canned one, so `ready_s` is the gateway's own share. One client asks; the gateways take turns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        url = stack.enter_context(_stub(next(iter(levels.values())), folder))
        gateways: dict[int, Gateway] = {}
        for level in (0, *levels):
            bundles = [one.folder for one in levels[level].active] if level else []
            gateways[level] = stack.enter_context(gateway(url, ENGINE_KEY.decode(), bundles, folder, f"stub-{level}"))
            done()
        requests = {tokens: http_request(_text(tokens)) for tokens in TOKENS}
        times: dict[tuple[int, int], list[float]] = {}
        for number in range(rounds + 1):
            for tokens, raw in requests.items():
                for level, one in gateways.items():
                    load = asyncio.run(run(one.port, raw, 1, seconds))
                    if number:  # the first round warms up
                        times.setdefault((level, tokens), []).append(load.p50)
            done()
        return {level: _costs(level, one, gateways[0], times) for level, one in gateways.items()}


def _costs(level: int, one: Gateway, bare: Gateway, times: Mapping[tuple[int, int], Sequence[float]]) -> dict[str, Any]:
    costs: dict[str, Any] = {
        "ready_s": round(one.ready_s, 2),
        "memory_mb": round(one.memory_mb(), 1),
        "memory_added_mb": round(one.memory_mb() - bare.memory_mb(), 1),
    }
    for tokens in TOKENS:
        added = [a - b for a, b in zip(times[level, tokens], times[0, tokens], strict=True)]
        costs[f"http_{tokens}_p50_ms"] = round(median(times[level, tokens]), 3)
        costs[f"http_{tokens}_added_ms"] = round(median(added), 3)
        costs[f"http_{tokens}_added_range_ms"] = [round(min(added), 3), round(max(added), 3)]
    return costs


def _text(tokens: int) -> str:
    """English of about so many tokens; the number in front differs from request to request."""
    sentence = "could you tell me how the harbour of the old town was rebuilt after the flood and who paid for it?"
    words = (sentence + " ") * (tokens // 20 + 1)
    return f"Request {COUNTER.decode()}: " + " ".join(words.split()[: tokens - 12])


@contextmanager
def _stub(group: Group, folder: Path) -> Iterator[str]:
    """Address of a canned engine that reports the model of the bundles."""
    model = read_bundle(group.active[0].folder, KEY).manifest.model
    (folder / "model.json").write_text(model.model_dump_json(), encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.stub", str(port), str(folder / "model.json")]
    service = Service("stub", command, os.environ, folder / "stub.log", f"http://127.0.0.1:{port}/health")
    with running(service):
        service.wait(30)
        yield f"http://127.0.0.1:{port}"
