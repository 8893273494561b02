"""Sends probes to a server over its public endpoint and keeps everything that comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import aiohttp
import orjson

from benchmarks.metrics.surfaces import assembled
from benchmarks.probes.spec import CHAT, Probe
from benchmarks.probes.tokens import Encode, Render, filled

CONCURRENCY = 128
TIMEOUT = aiohttp.ClientTimeout(total=600)


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask, for which model, with which API key."""

    base: str
    model: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; `body` of a stream is what its chunks add up to, names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """A probe with the replies to its steps; a step that was refused ends it."""

    probe: Probe
    replies: tuple[Reply, ...]

    @property
    def refused(self) -> bool:
        """Whether the server refused a step."""
        return any(reply.status != 200 for reply in self.replies)


async def ask_all(
    server: Server, probes: Sequence[Probe], done: Callable[[], None], encode: Encode, render: Render
) -> list[Answered]:
    """Ask all probes, several at a time; the answers are in the order of the probes.

    `encode` and `render` are the tokeniser and chat template of the model, for probes that send token ids.

    Raises `aiohttp.ClientError` when the server cannot be reached and `RuntimeError` when it fails (5xx): what was not
    answered is no measurement.
    """
    gate = asyncio.Semaphore(CONCURRENCY)
    async with aiohttp.ClientSession(timeout=TIMEOUT, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(probe: Probe) -> Answered:
            async with gate:
                answered = await _ask(session, server, probe, encode, render)
            done()
            return answered

        return list(await asyncio.gather(*map(one, probes)))


async def time_in_turn(
    plans: Mapping[str, tuple[Server, Sequence[Probe]]], encode: Encode, render: Render, seed: int = 0
) -> dict[str, list[float]]:
    """Milliseconds from sending a probe to its last byte, by name: one probe at a time, the servers in random turns.

    The first round only warms up.
    """
    order, names = random.Random(f"turns/{seed}"), list(plans)
    spent: dict[str, list[float]] = {name: [] for name in names}
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        for i in range(-1, min((len(probes) for _, probes in plans.values()), default=0)):
            order.shuffle(names)
            for name in names:
                server, probes = plans[name]
                started = perf_counter()
                await _ask(session, server, probes[max(i, 0)], encode, render)
                if i >= 0:
                    spent[name].append((perf_counter() - started) * 1000)
    return spent


async def _ask(
    session: aiohttp.ClientSession, server: Server, probe: Probe, encode: Encode, render: Render
) -> Answered:
    history: list[Any] = []
    replies: list[Reply] = []
    for step in probe.steps:
        body = {"model": server.model, **filled(step, encode, render)}
        if probe.route == CHAT:
            history += body["messages"]
            body["messages"] = list(history)
        reply = await _post(session, server, probe.route, orjson.dumps(body))
        replies.append(reply)
        if reply.status != 200:
            break
        if probe.route == CHAT and len(replies) < len(probe.steps):
            message = reply.body["choices"][0].get("message") or {}
            history.append({"role": "assistant", "content": message.get("content") or ""})
    return Answered(probe, tuple(replies))


async def _post(session: aiohttp.ClientSession, server: Server, route: str, data: bytes) -> Reply:
    headers = {"content-type": "application/json", "authorization": f"Bearer {server.api_key}"}
    async with session.post(server.base + route, data=data, headers=headers) as response:
        raw = await response.read()
        if response.status >= 500:
            said = raw[:500].decode(errors="replace")
            raise RuntimeError(f"{server.base}{route} failed with status {response.status}: {said}")
        streamed = response.content_type == "text/event-stream"
        body = _stream(raw) if streamed else _json(raw)
        names = {name.lower(): value for name, value in response.headers.items()}  # aiohttp changes the case of some
        return Reply(response.status, names, body)


def _json(raw: bytes) -> Mapping[str, Any]:
    """A JSON object; whatever else a server sends is kept as one text, which may leak as well."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    return body if isinstance(body, dict) else {"text": raw.decode(errors="replace")}


def _stream(raw: bytes) -> Mapping[str, Any]:
    """What the events of a stream add up to; comments and other lines, where a value could hide too, as `lines`.

    Raises `ValueError` for a stream without its end.
    """
    written = [line for line in raw.replace(b"\r\n", b"\n").split(b"\n") if line]
    events = [line[5:].strip() for line in written if line.startswith(b"data:")]
    if not events or events[-1] != b"[DONE]":
        raise ValueError("a stream ended without [DONE]")
    body = assembled([orjson.loads(event) for event in events[:-1]])
    others = [line.decode(errors="replace") for line in written if not line.startswith(b"data:")]
    return {**body, "lines": others} if others else body
