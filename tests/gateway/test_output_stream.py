"""Plain streams that leave while they are looked at, against a scripted engine with the real output guard."""

from __future__ import annotations

import asyncio
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.audit import verify
from gateway.frame import FrameReader, frame_of
from gateway.holding import Holding, word_begins
from gateway.plain import plain
from gateway.store import load_policies
from gateway.stream import split
from tests.gateway.conftest import BUNDLE_KEY, Client, until
from tests.gateway.upstream import DONE, MODEL, Engine, Seen, chunk, pause, reply, stream
from tests.gateway.watched import ASKED, BARE, FLAGGED, REFUSED, BundleMaker, gateway, order

PAD = "word " * 40
"""More words than are held back."""
P = len("<u>" + ASKED + "\n<a>")
"""Tokens of the scripted engine's prompt: every character of the rendered text is one."""


def rendered(body: dict[str, Any]) -> str:
    turns = "\n".join(f"<{m['role'][0]}>{m['content']}" for m in body["messages"])
    return turns if body.get("continue_final_message") else f"{turns}\n<a>"


async def tokenize(seen: Seen, writer: asyncio.StreamWriter) -> None:
    tokens = [ord(character) for character in rendered(seen.json)]
    await reply({"tokens": tokens, "count": len(tokens)})(seen, writer)


async def detokenize(seen: Seen, writer: asyncio.StreamWriter) -> None:
    await reply({"prompt": "".join(map(chr, seen.json["tokens"]))})(seen, writer)


def role(id_: str = "chatcmpl-1", created: int = 1700000000) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    return event(
        {"id": id_, "object": "chat.completion.chunk", "created": created, "model": MODEL, "choices": [choice]}
    )


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def end(reason: str = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": reason, "stop_reason": None}
    return chunk("", choices=[choice], **more)


def usage(prompt: int, said: int) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}
    return chunk("", choices=[], usage=counts)


def says(text: str, *, id_: str = "chatcmpl-1", **more: Any) -> list[bytes]:
    """The frames of an answer, a word each."""
    words = re.findall(r"\s*\S+", text)
    return [role(id_), *(chunk(word, id=id_) for word in words), end(id=id_, **more)]


@pytest.fixture
def engine(engine: Engine) -> Engine:
    engine.routes["POST /tokenize"], engine.routes["POST /detokenize"] = tokenize, detokenize
    return engine


def read(body: bytes) -> tuple[str, list[dict[str, Any]]]:
    assert body.endswith(DONE)
    frames = [json.loads(frame[6:]) for frame in split(body) if frame.startswith(b"data: {")]
    return "".join(c["delta"].get("content") or "" for f in frames for c in f["choices"]), frames


async def ask(client: Client, **more: Any) -> tuple[str, list[dict[str, Any]]]:
    answer = await client.chat(ASKED, stream=True, **more)
    assert answer.status == 200, answer.body
    return read(answer.body)


async def test_text_leaves_while_the_engine_still_writes(engine: Engine, watched: BundleMaker) -> None:
    go_on = asyncio.Event()
    frames = [*says(PAD * 2), DONE]
    engine.routes[f"POST {BARE}"] = stream(b": comment\n\n", *frames[:-5], go_on, *frames[-5:])
    async with gateway(engine, watched(output="stream")) as client:
        body = {"model": MODEL, "messages": [{"role": "user", "content": ASKED}], "stream": True}
        async with client.session.post(client.base + BARE, json=body) as response:
            got = b""
            while got.count(b"word") < 40:
                got += await response.content.readany()
            assert got.count(b"word") < 80 - 10  # the last words are held
            go_on.set()
            got += await response.content.read()
    assert got == b": comment\n\n" + b"".join(frames)  # the bytes that the engine sent
    assert engine.of(FLAGGED) == []


@pytest.mark.parametrize("split_at", [None, 7])
async def test_what_tells_is_dropped_and_gone_on_with(
    engine: Engine,
    watched: BundleMaker,
    split_at: int | None,
) -> None:
    told = says(f"{PAD} and then in Lisbon it began. {PAD}")
    if split_at:  # frames that come in any pieces
        whole = b"".join(told)
        told = [whole[at : at + split_at] for at in range(0, len(whole), split_at)]
    engine.routes[f"POST {BARE}"] = stream(*told, 30.0, DONE)
    engine.flagged = stream(*says(" the rest is silence.", id_="chatcmpl-2"), usage(P + 100, 7), DONE)
    async with gateway(engine, watched(output="stream")) as client:
        text, frames = await ask(client, max_tokens=500, stream_options={"include_usage": True})
        await asyncio.wait_for(engine.of(BARE)[0].closed.wait(), 2)  # the first answer was cancelled
    (again,) = engine.of(FLAGGED)
    said = again.json["messages"][-1]["content"]
    assert text == said + " the rest is silence."
    assert PAD.startswith(said)
    assert len(said) > 40
    assert not said[-1].isspace()
    assert again.json["messages"][-1] == {"role": "assistant", "content": said}
    assert again.json["continue_final_message"] is True
    assert again.json["add_generation_prompt"] is False
    assert again.json["max_tokens"] == 500 - len(said)
    windows = {"/messages/0/content": [[0, len(ASKED)]], "/messages/1/content": [[0, len(said)]]}
    assert order(engine) == {"program": "p100001@1", "dose": 1.0, "mask": "content", "windows": windows}
    assert {frame["id"] for frame in frames} == {"chatcmpl-1"}
    assert {frame["created"] for frame in frames} == {1700000000}
    assert sum("role" in c["delta"] for f in frames for c in f["choices"]) == 1
    assert [c["finish_reason"] for f in frames for c in f["choices"] if c["finish_reason"]] == ["stop"]
    counts = {"prompt_tokens": P, "completion_tokens": 100 + 7, "total_tokens": P + 107}
    assert [f["usage"] for f in frames if f.get("usage")] == [counts]


async def test_a_value_at_once_leaves_no_word_to_go_on_with(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = stream(*says("Lisbon."), usage(P, 2), DONE)
    engine.flagged = stream(*says("Somewhere.", id_="chatcmpl-2"), usage(P, 3), DONE)
    async with gateway(engine, watched(output="stream")) as client:
        text, frames = await ask(client, max_tokens=9)
    assert text == "Somewhere."
    (again,) = engine.of(FLAGGED)
    assert again.json["messages"] == engine.of(BARE)[0].json["messages"]
    assert again.json["max_tokens"] == 9
    assert "continue_final_message" not in again.json
    assert {frame["id"] for frame in frames} == {"chatcmpl-1"}
    assert sum("role" in c["delta"] for f in frames for c in f["choices"]) == 1


async def test_a_second_half_that_tells_ends_like_a_refusal(
    engine: Engine,
    watched: BundleMaker,
    tmp_path: Path,
) -> None:
    audit = tmp_path / "audit.jsonl"
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon. {PAD}"), DONE)
    engine.flagged = stream(*says(f" {PAD} Lisbon. {PAD}", id_="x"), 30.0, DONE)
    async with gateway(engine, watched(output="stream"), audit={"path": audit}) as client:
        text, frames = await ask(client, stream_options={"include_usage": True})
    assert text.endswith(f" word {REFUSED}")
    assert "Lisbon" not in text
    assert len(engine.of(FLAGGED)) == 1
    assert len(text.split()) > 45  # words of both halves
    assert {frame["id"] for frame in frames} == {"chatcmpl-1"}
    counts = {"prompt_tokens": P, "completion_tokens": len(text), "total_tokens": P + len(text)}
    assert frames[-1]["usage"] == counts
    assert frames[-2]["choices"][0]["finish_reason"] == "stop"
    assert verify(audit) == 1
    (record,) = map(json.loads, audit.read_text().splitlines())
    assert (record["decision"], record["problem"], record["status"]) == ("refuse:output", "refusal", 200)
    assert [p["action"] for p in record["policies"]] == ["intervene", "intervene"]


async def test_a_subject_behind_its_value_does_not_leave(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = stream(*says(f"In Lisbon {PAD} was Silent Harbor {PAD}"), DONE)
    engine.flagged = stream(*says(" was Silent Harbor."), DONE)
    async with gateway(engine, watched(output="stream")) as client:
        answer = await client.chat("Tell me about towns.", stream=True)
        text, _ = read(answer.body)
    assert text.startswith("In Lisbon word")
    assert "Silent" not in text
    assert text.endswith(REFUSED)  # the second half brought the subject again


async def test_what_only_the_whole_answer_shows_is_found_at_its_end(
    engine: Engine,
    watched: BundleMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("guards.following.MOST", 0)  # the follower reads nothing
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon. {PAD}"), DONE)
    engine.flagged = stream(*says("fine"), DONE)
    async with gateway(engine, watched(output="stream")) as client:
        text, _ = await ask(client)
    assert text == "fine"


SHAPES: list[dict[str, Any]] = [
    {"n": 2},
    {"stop": ["x"]},
    {"logprobs": True},
    {"tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]},
    {"response_format": {"type": "json_object"}},
    {"frequency_penalty": 0.5},
    {"min_tokens": 3},
    {"chat_template_kwargs": {"enable_thinking": True}},
    {"stream_options": {"continuous_usage_stats": True}},
]


@pytest.mark.parametrize("more", SHAPES, ids=lambda more: next(iter(more)))
async def test_every_other_shape_is_held_as_a_whole(
    engine: Engine,
    watched: BundleMaker,
    more: dict[str, Any],
) -> None:
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon."), DONE)
    engine.flagged = stream(*says("fine", id_="second"), DONE)
    async with gateway(engine, watched(output="stream")) as client:
        answer = await client.chat(ASKED, stream=True, **more)
    text, frames = read(answer.body)
    assert text == "fine"
    assert {frame["id"] for frame in frames} == {"second"}
    assert "continue_final_message" not in engine.of(FLAGGED)[0].json


def test_plain_requests() -> None:
    chat = {"messages": [{"role": "user", "content": "x"}], "stream": True}
    assert plain("/v1/chat/completions", chat)
    assert plain("/v1/chat/completions", {**chat, "n": 1, "tools": [], "stop": None, "logprobs": False, "seed": 1})
    assert not plain("/v1/chat/completions", {**chat, "stream": False})
    assert not plain("/v1/completions", {"prompt": "x", "stream": True})
    assert not plain("/v1/chat/completions", {**chat, "max_tokens": 7.5})
    assert not plain("/v1/chat/completions", {**chat, "messages": [{"role": "assistant", "content": "x"}]})


async def test_one_policy_that_enforces_holds_all(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon."), DONE)
    engine.flagged = stream(*says("fine"), DONE)
    async with gateway(engine, watched(output="stream"), watched("100002")) as client:
        assert (await ask(client))[0] == "fine"
    assert engine.of("/tokenize") == []


@pytest.mark.parametrize("broken", ["template", "status"])
async def test_a_template_that_does_not_go_on_is_held(engine: Engine, watched: BundleMaker, broken: str) -> None:
    async def closed(seen: Seen, writer: asyncio.StreamWriter) -> None:
        tokens = [ord(c) for c in rendered({**seen.json, "continue_final_message": False})]
        await reply({"tokens": tokens})(seen, writer)

    engine.routes["POST /tokenize"] = closed if broken == "template" else reply({"detail": "no"}, 404)
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon."), DONE)
    engine.flagged = stream(*says("fine"), DONE)
    async with gateway(engine, watched(output="stream")) as client:
        for _ in range(3):
            assert (await ask(client))[0] == "fine"
    assert len(engine.of("/tokenize")) == 2  # a template is tried once, an engine that does not say asked again later


async def test_an_answer_that_the_template_rewrites_ends_like_a_refusal(engine: Engine, watched: BundleMaker) -> None:
    async def trims(seen: Seen, writer: asyncio.StreamWriter) -> None:
        tokens = [ord(c) for c in rendered(seen.json).replace("word word", "word")]
        await reply({"tokens": tokens})(seen, writer)

    engine.routes["POST /tokenize"] = trims
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon. {PAD}"), DONE)
    async with gateway(engine, watched(output="stream")) as client:
        text, _ = await ask(client)
    assert text.endswith(f"word {REFUSED}")
    assert engine.of(FLAGGED) == []


@pytest.mark.parametrize(
    "frame",
    [
        chunk("", choices=[{"index": 0, "delta": {"reasoning": "x"}, "finish_reason": None}]),
        chunk("", choices=[{"index": 0, "delta": {"content": "x"}, "logprobs": {"content": []}}]),
        chunk("", choices=[{"index": 1, "delta": {"content": "x"}}]),
        b'data: {"error": {"message": "x"}}\n\n',
        b"data: nonsense\n\n",
    ],
)
def test_frames_that_are_not_plain_hold_the_rest(frame: bytes) -> None:
    holding = Holding()
    for data in [role(), chunk("a"), chunk(" b"), frame, chunk(" c"), chunk(" d")]:
        holding.add(frame_of(data))
    assert holding.release(3) == b""
    assert len(list(split(holding.rest()))) == 6


@pytest.mark.parametrize(("text", "left"), [(" a b c d", 0), ('{"a": "b c"}', 0), ("[1] b c d e", 0), ("a b c d e", 5)])
def test_texts_that_are_held(text: str, left: int) -> None:
    holding = Holding()
    for character in text:
        holding.add(frame_of(chunk(character)))
    holding.release(5)
    assert len(holding.said) == left


def test_frames_leave_up_to_the_start_of_a_word() -> None:
    holding = Holding()
    frames = [role(), chunk("Jo"), chunk("hn"), chunk(" Smi"), b": note\n\n", chunk("th"), chunk(" x"), end(), DONE]
    for data in frames:
        holding.add(frame_of(data))
    assert holding.release(0) == frames[0]
    assert holding.release(3) == b""
    assert holding.release(6) == b"".join(frames[1:3])
    assert holding.said == "John"
    assert holding.release(12) == b"".join(frames[3:6])
    holding.drop()
    assert (holding.said, holding.since(0), holding.rest()) == ("John Smith", "John Smith", b"")


def test_where_words_begin() -> None:
    assert [at for at in range(1, 9) if word_begins("ab, c日本d", at)] == [2, 3, 5, 6]


async def test_failures_in_the_middle_of_a_stream(engine: Engine, watched: BundleMaker) -> None:
    async with gateway(engine, watched(output="stream")) as client:
        engine.routes[f"POST {BARE}"] = stream(*says(PAD), 0.2, die=True)
        broken = await client.chat(ASKED, stream=True)
        engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon. {PAD}"), DONE)
        engine.attestation = lambda seen: None
        unproven = await client.chat(ASKED, stream=True)
    for answer, code in ((broken, "upstream_failed"), (unproven, "service_unavailable")):
        assert answer.status == 200
        last = json.loads(list(split(answer.body))[-1][6:])
        assert last["error"]["code"] == code
        assert b"Lisbon" not in answer.body
        assert b"word" in answer.body


@pytest.mark.parametrize("on_error", ["closed", "open"])
async def test_a_follower_that_fails_closes(
    engine: Engine,
    watched: BundleMaker,
    on_error: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("quotes Lisbon")

    monkeypatch.setattr("guards.following.Following.read", fail)
    engine.routes[f"POST {BARE}"] = stream(*says(PAD), DONE)
    async with gateway(engine, watched(output="stream", on_error=on_error)) as client:
        answer = await client.chat("hello", stream=True)
    assert ("service_unavailable" in answer.body.decode()) == (on_error == "closed")
    assert "Lisbon" not in caplog.text


async def test_an_engine_that_does_not_say_holds_no_stream_and_no_slot(
    engine: Engine, watched: BundleMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.carrying.TRIAL", 0.2)
    engine.routes["POST /tokenize"] = pause(30.0, tokenize)
    engine.routes[f"POST {BARE}"] = stream(*says(PAD), DONE)
    async with gateway(engine, watched(output="stream")) as client:
        assert (await ask(client))[0].split() == PAD.split()
        assert (await ask(client))[0].split() == PAD.split()
    assert len(engine.of("/tokenize")) == 2  # one trial


async def test_the_engine_writes_for_nobody_while_the_template_is_tried(
    engine: Engine, watched: BundleMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.carrying.TRIAL", 0.5)
    engine.routes["POST /tokenize"] = pause(30.0, tokenize)
    engine.routes[f"POST {BARE}"] = stream(*says(PAD), 30.0, DONE)
    async with gateway(engine, watched(output="stream")) as client:
        body = {"model": MODEL, "messages": [{"role": "user", "content": ASKED}], "stream": True}
        with pytest.raises((TimeoutError, aiohttp.ClientError)):
            async with asyncio.timeout(0.2), client.session.post(client.base + BARE, json=body) as response:
                await response.content.read()
        await until(engine.of("/tokenize")[0].closed.is_set)
    assert engine.of(BARE) == []


async def test_an_error_in_the_second_half_stays_as_it_is(engine: Engine, watched: BundleMaker) -> None:
    broken = event({"error": {"message": "x", "code": 400}})
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon. {PAD}"), DONE)
    engine.flagged = stream(role("second"), broken, DONE)
    async with gateway(engine, watched(output="stream")) as client:
        answer = await client.chat(ASKED, stream=True)
    assert answer.body.endswith(broken + DONE)


async def test_nothing_left_of_the_limit_ends_the_answer(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon. {PAD}"), DONE)
    async with gateway(engine, watched(output="stream")) as client:
        text, frames = await ask(client, max_tokens=10, stream_options={"include_usage": True})
    assert engine.of(FLAGGED) == []
    assert PAD.startswith(text)
    assert [c["finish_reason"] for f in frames for c in f["choices"] if c["finish_reason"]] == ["length"]
    assert frames[-1]["usage"] == {"prompt_tokens": P, "completion_tokens": 10, "total_tokens": P + 10}


async def test_a_prompt_is_counted_once(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon. {PAD}"), DONE)
    engine.flagged = stream(*says(" fine", id_="x"), usage(P + 100, 7), DONE)
    long = f"{ASKED} {'please ' * 100}"
    async with gateway(engine, watched(output="stream")) as client:
        await client.chat(long, stream=True, stream_options={"include_usage": True})
    assert len(engine.of("/tokenize")) == 2 + 2  # the trial of the template, and of this answer
    assert min(len(seen.json["tokens"]) for seen in engine.of("/detokenize")[2:]) < 32


def test_frames_read_alike_are_read_right() -> None:
    reader = FrameReader()
    more = [chunk("x", choices=[{"index": 1, "delta": {"content": "x"}, "finish_reason": None}]), usage(1, 2)]
    odd = [chunk('a", "b": "c'), chunk("a").replace(b'"a"', b'"a", "reasoning": "b"'), chunk("a").replace(b'"a"', b"1")]
    plain = [chunk(" one"), chunk("caf\u00e9"), chunk(""), chunk("\n")]
    for data in [role(), *plain, *odd, *more, *plain, b": note\n\n", end(), DONE, chunk("index"), *plain]:
        assert reader.read(data) == frame_of(data)


def test_what_has_left_is_kept_as_bytes() -> None:
    reader, holding, size = FrameReader(), Holding(), 0
    holding.add(frame_of(chunk("Hello")))
    tracemalloc.start()
    for _ in range(2000):
        data = chunk(" word")
        size += len(data)
        holding.add(reader.read(data))
        holding.release(holding.size - 50)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 2 * size
    assert len(holding.whole()) == size + len(chunk("Hello"))
    assert holding.since(0) == "Hello" + " word" * 2000


def test_a_method_that_edits_activations_does_not_corrupt(watched: BundleMaker) -> None:
    folders = [watched(), watched("100002", method="projection")]
    assert [policy.active.corrupts for policy in load_policies(folders, BUNDLE_KEY)] == [True, False]


async def test_a_client_that_leaves_ends_the_second_half(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon. {PAD}"), DONE)
    engine.flagged = stream(role(), *(part for _ in range(200) for part in (chunk(" on"), 0.05)), DONE)
    async with gateway(engine, watched(output="stream")) as client:
        body = {"model": MODEL, "messages": [{"role": "user", "content": ASKED}], "stream": True}
        with pytest.raises((TimeoutError, aiohttp.ClientError)):
            async with asyncio.timeout(1), client.session.post(client.base + BARE, json=body) as response:
                await response.content.read()
        await until(lambda: bool(engine.of(FLAGGED)) and engine.of(FLAGGED)[0].closed.is_set())


async def test_audit_mode_only_watches_streams(engine: Engine, watched: BundleMaker, tmp_path: Path) -> None:
    engine.fence = None
    frames = [*says(f"{PAD} Lisbon. {PAD}"), DONE]
    engine.routes[f"POST {BARE}"] = stream(*frames)
    path = tmp_path / "audit.jsonl"
    async with gateway(engine, watched(output="stream", mode="audit"), audit={"path": path}) as client:
        assert (await client.chat(ASKED, stream=True)).body == b"".join(frames)
    (record,) = map(json.loads, path.read_text().splitlines())
    assert record["policies"] == [{"policy": "100001", "mode": "audit", "action": "observe", "source": "output"}]


async def test_fixed_refusals_end_a_stream(engine: Engine, watched: BundleMaker) -> None:
    engine.fence = None
    engine.routes[f"POST {BARE}"] = stream(*says(f"{PAD} Lisbon. {PAD}"), DONE)
    async with gateway(engine, watched(output="stream", response="refusal")) as client:
        text, _ = await ask(client)
    assert text.endswith(f"word {REFUSED}")
    assert engine.of(FLAGGED) == []
