"""What goes through the gateway: bytes, disconnects, faults of the upstream."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from tests.gateway.conftest import Client, serving, settings, until
from tests.gateway.upstream import CHAT, DONE, MODEL, Engine, chunk, die, pause, reply, stream

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}


async def test_answer_is_byte_identical(engine: Engine, plain: Client) -> None:
    answer = await plain.chat()
    assert (answer.status, answer.body) == (200, CHAT)
    assert set(answer.headers) == {"date", "content-type", "content-length", "x-request-id"}
    assert answer.headers["content-type"] == "application/json"


async def test_stream_is_byte_identical(engine: Engine, plain: Client) -> None:
    pieces = [b": comment\n\n", chunk("a")[:10], chunk("a")[10:] + chunk("b"), b"data: \xff\xfe\r\n\r\n", DONE]
    engine.routes["POST /v1/chat/completions"] = stream(*pieces)
    answer = await plain.chat(stream=True)
    assert answer.body == b"".join(pieces)
    assert set(answer.headers) == {
        "date",
        "content-type",
        "cache-control",
        "x-accel-buffering",
        "x-request-id",
        "transfer-encoding",
    }


async def test_frames_are_not_held_back(engine: Engine, plain: Client) -> None:
    go_on = asyncio.Event()
    engine.routes["POST /v1/chat/completions"] = stream(chunk("a"), go_on, DONE)
    async with plain.session.post(plain.base + "/v1/chat/completions", json={**BODY, "stream": True}) as response:
        assert await response.content.readany() == chunk("a")
        go_on.set()
        assert await response.content.read() == DONE


async def test_the_head_of_a_stream_leaves_with_its_first_event(engine: Engine, plain: Client) -> None:
    # the head of a flagged answer has to wait for the attestation, so every head waits for the first event
    go_on = asyncio.Event()
    engine.routes["POST /v1/chat/completions"] = stream(b": comment\n\n", chunk("a")[:9], go_on, chunk("a")[9:], DONE)
    asking = asyncio.create_task(
        plain.session.post(plain.base + "/v1/chat/completions", json={**BODY, "stream": True}).__aenter__()
    )
    await until(lambda: len(engine.of("/v1/chat/completions")) == 1)
    await asyncio.sleep(0.1)
    assert not asking.done()
    go_on.set()
    async with await asking as response:
        assert await response.content.read() == b": comment\n\n" + chunk("a") + DONE


@pytest.mark.parametrize("pieces", [[], [b": comment\n\n"], [chunk("a")[:9]]])
async def test_a_stream_that_breaks_before_its_first_event(engine: Engine, plain: Client, pieces: list[bytes]) -> None:
    engine.routes["POST /v1/chat/completions"] = stream(*pieces, die=True)
    answer = await plain.chat(stream=True)
    assert (answer.status, answer.error["code"]) == (502, "upstream_failed")
    assert answer.headers["content-type"] == "application/json"
    engine.routes["POST /v1/chat/completions"] = stream(DONE)
    assert (await plain.chat(stream=True)).body == DONE


async def test_engine_receives_what_was_parsed_and_no_headers_of_the_client(engine: Engine, plain: Client) -> None:
    headers = {"x-request-id": "mine", "x-lethe-auth": "forged", "cookie": "a=b", "authorization": "Bearer x"}
    await plain.post("/v1/chat/completions", {**BODY, "n": 2, "temperature": 0.1}, headers=headers)
    seen = engine.of("/v1/chat/completions")[-1]
    assert seen.json == {**BODY, "n": 2, "temperature": 0.1}
    assert set(seen.headers) == {"host", "content-type", "accept", "accept-encoding", "content-length"}


async def test_disconnect_before_the_first_byte_cancels(engine: Engine, plain: Client) -> None:
    engine.routes["POST /v1/chat/completions"] = pause(10, reply(CHAT))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await plain.chat()
    async with asyncio.timeout(2):
        await engine.of("/v1/chat/completions")[0].closed.wait()
    engine.routes["POST /v1/chat/completions"] = reply(CHAT)
    assert (await plain.chat()).status == 200


async def test_disconnect_in_mid_stream_cancels(engine: Engine, plain: Client) -> None:
    engine.routes["POST /v1/chat/completions"] = stream(chunk("a"), 10.0, DONE)
    response = await plain.session.post(plain.base + "/v1/chat/completions", json={**BODY, "stream": True})
    assert await response.content.readany() == chunk("a")
    response.close()
    async with asyncio.timeout(2):
        await engine.of("/v1/chat/completions")[0].closed.wait()


async def test_upstream_down_and_back(engine: Engine, plain: Client) -> None:
    port = engine.port
    await engine.stop()
    answer = await plain.chat()
    assert (answer.status, answer.error["code"]) == (503, "upstream_unreachable")
    assert (await plain.get("/readyz")).status == 503
    assert (await plain.get("/healthz")).status == 200
    await engine.start(port)
    assert (await plain.chat()).status == 200


async def test_upstream_dies_before_the_first_byte(engine: Engine, plain: Client) -> None:
    engine.routes["POST /v1/chat/completions"] = die
    answer = await plain.chat()
    assert (answer.status, answer.error["code"]) == (502, "upstream_failed")
    assert len(engine.of("/v1/chat/completions")) == 1  # bytes were sent: no second attempt


async def test_upstream_is_slow() -> None:
    engine = Engine(None)
    await engine.start()
    engine.routes["POST /v1/chat/completions"] = pause(5, reply(CHAT))
    timeouts = {"connect": 1, "first_byte": 0.1, "between_bytes": 0.1}
    async with serving(settings(engine.url, upstream={"timeouts": timeouts})) as client:
        answer = await client.chat()
        assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")
        engine.routes["POST /v1/chat/completions"] = stream(chunk("a"), 5.0, DONE)
        answer = await client.chat(stream=True)
        assert answer.body.startswith(chunk("a"))
        assert json.loads(answer.body.split(b"data: ")[-1])["error"]["code"] == "upstream_timeout"
    await engine.stop()


@pytest.mark.parametrize("proper_end", [False, True])
@pytest.mark.parametrize("torn", [b"", b'data: {"id": "chat'])
async def test_stream_that_breaks_off(engine: Engine, plain: Client, torn: bytes, proper_end: bool) -> None:
    pieces = [chunk("a"), torn] if torn else [chunk("a")]
    engine.routes["POST /v1/chat/completions"] = stream(*pieces, die=not proper_end)
    answer = await plain.chat(stream=True)  # the client's read ends properly
    assert answer.status == 200
    assert answer.body.startswith(chunk("a"))
    rest = answer.body[len(chunk("a")) :]
    assert rest.startswith(b'data: {"error":')
    assert rest.endswith(b"\n\n")
    assert rest.count(b"data: ") == 1
    assert b"[DONE]" not in rest
    engine.routes["POST /v1/chat/completions"] = stream(chunk("a"), DONE)
    assert (await plain.chat(stream=True)).body == chunk("a") + DONE


async def test_whole_answer_that_breaks_off(engine: Engine, plain: Client) -> None:
    async def half(seen: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()

    engine.routes["POST /v1/chat/completions"] = half
    answer = await plain.chat()
    assert (answer.status, answer.error["code"]) == (502, "upstream_failed")


@pytest.mark.parametrize(
    ("status", "seen"), [(500, 502), (502, 502), (503, 503), (504, 504), (507, 502), (301, 502), (401, 502), (204, 502)]
)
async def test_internals_of_the_upstream_stay_inside(engine: Engine, plain: Client, status: int, seen: int) -> None:
    body = b"" if status == 204 else b"Traceback: /opt/secret.py"
    engine.routes["POST /v1/chat/completions"] = reply(body, status)
    answer = await plain.chat()
    assert answer.status == seen
    assert b"secret" not in answer.body
    assert answer.error["type"] == "server_error"


async def test_errors_about_the_request_are_repeated(engine: Engine, plain: Client) -> None:
    error = {"message": "max context is 10", "type": "BadRequestError", "param": "max_tokens", "code": 400}
    engine.routes["POST /v1/chat/completions"] = reply({"error": error}, 400)
    answer = await plain.chat()
    assert answer.status == 400
    assert answer.error["message"] == "max context is 10"
    assert answer.error["param"] == "max_tokens"


async def test_large_answers_and_requests(engine: Engine, plain: Client) -> None:
    big = json.dumps({"x": "y" * 3_000_000}).encode()
    engine.routes["POST /v1/chat/completions"] = reply(big)
    answer = await plain.chat("z" * 2_000_000)
    assert answer.body == big
    assert len(engine.of("/v1/chat/completions")[0].json["messages"][0]["content"]) == 2_000_000


async def test_many_at_once(engine: Engine, plain: Client) -> None:
    engine.routes["POST /v1/chat/completions"] = stream(chunk("a"), 0.01, chunk("b"), DONE)
    answers = await asyncio.gather(*(plain.chat(str(i), stream=True) for i in range(100)))
    assert {answer.body for answer in answers} == {chunk("a") + chunk("b") + DONE}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 100


async def test_models_without_adapters_and_internals(engine: Engine, plain: Client) -> None:
    base = {"id": "m", "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": 10}
    entries = [
        {**base, "root": "/data/weights", "parent": None, "permission": [{}]},
        {**base, "id": "a", "parent": "m"},
    ]
    engine.routes["GET /v1/models"] = reply({"object": "list", "data": entries})
    answer = await plain.get("/v1/models")
    assert json.loads(answer.body) == {"object": "list", "data": [base]}


async def test_idle_connections_are_given_back(engine: Engine, plain: Client) -> None:
    for _ in range(5):
        await plain.chat()
    await until(lambda: len(engine.connections) == 1)


async def test_connector_has_no_limit(engine: Engine, plain: Client) -> None:
    gate = asyncio.Event()
    engine.routes["POST /v1/chat/completions"] = stream(gate, DONE)
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        client = Client(plain.base, session)
        asking = [asyncio.create_task(client.chat(stream=True)) for _ in range(130)]
        await until(lambda: len(engine.of("/v1/chat/completions")) == 130)
        gate.set()
        assert {(await task).body for task in asking} == {DONE}
