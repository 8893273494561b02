"""Asking over HTTP: conversations grow by real answers, streams and odd bodies are read, failures are no answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
import pytest
from aiohttp import web

from benchmarks.leakage.ask import Asked
from benchmarks.leakage.client import Answered, Server, ask_all, time_in_turn
from benchmarks.probes.spec import TEXT, Probe
from benchmarks.worlds.spec import Item

ITEM = Item(0, "forget", "city", "Where?", "In Lisbon.", ("Lisbon",))


async def _serve(handler: web.Application, probes: Sequence[Probe]) -> list[Answered]:
    runner = web.AppRunner(handler)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        (address,) = [socket.getsockname() for socket in site._server.sockets]  # type: ignore[union-attr]
        server = Server(f"http://127.0.0.1:{address[1]}", "m", "k")
        return await ask_all(server, probes, lambda: None, lambda text: [len(text)], lambda _messages: "rendered")
    finally:
        await runner.cleanup()


def ask(handler: web.Application, *probes: Probe) -> list[Answered]:
    return asyncio.run(_serve(handler, probes))


def app(answer: object) -> web.Application:
    made = web.Application()
    made.router.add_post("/{tail:.*}", answer)  # type: ignore[arg-type]
    return made


def test_answers_become_part_of_the_conversation_and_ids_are_found() -> None:
    seen: list[dict[str, object]] = []

    async def answer(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        seen.append(body)
        reply = {"choices": [{"index": 0, "message": {"role": "assistant", "content": f"answer {len(seen)}"}}]}
        return web.json_response(reply, headers={"x-request-id": f"id-{len(seen)}"})

    steps = tuple({"messages": [{"role": "user", "content": text}]} for text in ("one", "two"))
    (answered,) = ask(app(answer), Probe("f", ITEM, steps))
    assert [m["content"] for m in seen[1]["messages"]] == ["one", "answer 1", "two"]  # type: ignore[index,attr-defined]
    assert seen[1]["model"] == "m"
    asked = Asked((answered,), (), {"id-1": "pass", "id-2": "intervene"})
    assert asked.flagged(answered)
    assert not Asked((answered,), (), {"id-1": "pass", "id-2": "pass"}).flagged(answered)
    assert Asked((answered,), (), {"id-1": "pass", "id-2": "refuse:policy"}).flagged(answered)
    with pytest.raises(KeyError):  # a request that the log lost is no miss of the guard
        Asked((answered,), (), {"id-1": "pass"}).flagged(answered)


def test_a_request_refused_before_any_guard_looked_is_not_flagged() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"error": {}}, status=400, headers={"x-request-id": "id-1"})

    (answered,) = ask(app(answer), Probe("f", ITEM, ({"messages": []},)))
    assert not Asked((answered,), (), {"id-1": ""}).flagged(answered)
    assert not Asked((answered,), (), {}).flagged(answered)
    assert Asked((answered,), (), {"id-1": "refuse:unscannable"}).flagged(answered)


def test_servers_are_timed_in_turn() -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        seen.append(body["model"])
        await asyncio.sleep(0.02 if body["model"] == "slow" else 0)
        return web.json_response({"choices": []})

    async def measure() -> dict[str, list[float]]:
        runner = web.AppRunner(app(answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            (address,) = [socket.getsockname() for socket in site._server.sockets]  # type: ignore[union-attr]
            base = f"http://127.0.0.1:{address[1]}"
            probes = [Probe("f", ITEM, ({"messages": []},))] * 3
            plans = {name: (Server(base, name, "k"), probes) for name in ("slow", "fast")}
            return await time_in_turn(plans, lambda text: [len(text)], lambda _messages: "")
        finally:
            await runner.cleanup()

    spent = asyncio.run(measure())
    assert {name: len(times) for name, times in spent.items()} == {"slow": 3, "fast": 3}
    assert min(spent["slow"]) >= 20
    assert all(set(seen[i : i + 2]) == {"slow", "fast"} for i in range(0, len(seen), 2))


def test_placeholders_are_filled_and_a_refused_step_ends_the_probe() -> None:
    seen: list[dict[str, object]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(orjson.loads(await request.read()))
        return web.Response(status=400, text="not JSON")

    (answered,) = ask(app(answer), Probe("f", ITEM, ({"prompt_text": "four"}, {"prompt_text": "more"}), route=TEXT))
    assert [body["prompt"] for body in seen] == [[4]]
    assert answered.refused
    assert answered.replies[0].body == {"text": "not JSON"}


def test_a_failing_server_is_no_measurement() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=503, text="down")

    with pytest.raises(RuntimeError, match="failed with status 503: down"):
        ask(app(answer), Probe("f", ITEM, ({"messages": []},)))
