"""Sends questions with a stop-watch: streamed, in a given order, one after the other or several at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import orjson

from benchmarks.leakage.client import TIMEOUT, Server
from benchmarks.probes.spec import CHAT
from benchmarks.side_channels.questions import Question
from benchmarks.side_channels.seen import Seen, read

STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
IDLE = 1.0
"""Seconds that an idle connection is used again; after 5 s the gateway's server closes it."""
Answers = dict[str, list[Seen]]


@dataclass(frozen=True, slots=True)
class Turn:
    """A question to a server; its answer is filed under `label`. `fields` are added to the question's body."""

    label: str
    server: Server
    question: Question
    fields: Mapping[str, Any] = field(default_factory=dict)


async def ask(turns: Sequence[Turn], concurrency: int, done: Callable[[], None] = lambda: None) -> Answers:
    """Ask in the order of the turns; answers by label, in that order too.

    A question whose connection breaks before the answer begins is asked once more.

    Raises `aiohttp.ClientError` when a server cannot be reached and `RuntimeError` when it fails (5xx).
    """
    gate = asyncio.Semaphore(concurrency)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE)
    async with aiohttp.ClientSession(timeout=TIMEOUT, connector=connector) as session:

        async def one(turn: Turn) -> Seen:
            async with gate:
                try:
                    seen = await _ask(session, turn)
                except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):  # it was idle and is closed already
                    seen = await _ask(session, turn)
            done()
            return seen

        found = await asyncio.gather(*map(one, turns))
    filed: Answers = {}
    for turn, seen in zip(turns, found, strict=True):
        filed.setdefault(turn.label, []).append(seen)
    return filed


async def _ask(session: aiohttp.ClientSession, turn: Turn) -> Seen:
    server, clock = turn.server, time.perf_counter
    body = {**turn.question.body, **turn.fields}
    data = orjson.dumps({"model": server.model, **body, **STREAMED})
    headers = {"content-type": "application/json", "authorization": f"Bearer {server.api_key}"}
    started = clock()
    async with session.post(server.base + CHAT, data=data, headers=headers) as response:
        head = clock() - started
        pieces: list[tuple[float, bytes]] = []
        while piece := await response.content.readany():
            pieces.append((clock() - started, piece))
        names = tuple((name.decode().lower(), value.decode()) for name, value in response.raw_headers)
        if response.status >= 500:
            raise RuntimeError(f"{server.base}{CHAT} failed with status {response.status}: {pieces[0][1][:500]!r}")
    return read(replace(turn.question, body=body), response.status, names, head, pieces)
