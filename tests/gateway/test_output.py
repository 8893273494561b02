"""Answers that tell what is forgotten, end to end against a scripted engine with the real output guard."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from gateway.app import create_app
from gateway.audit import verify
from gateway.look import OutputScanner
from gateway.policy import ForgetPolicy
from guards.blindindex import BlindIndex, Item, index_of
from guards.finding import Finding
from guards.verdict import TextPart, Verdict
from steering.bundle import BundleError, Manifest, write_bundle
from steering.spec import ModelFingerprint
from tests.gateway.conftest import BUNDLE_KEY, Client, WordGuard, ready, serving, settings, until
from tests.gateway.upstream import CHAT, DONE, FINGERPRINT, MODEL, Engine, Handler, chunk, reply, stream

BARE, FLAGGED = "/v1/chat/completions", "/lethe/v1/chat/completions"
REFUSED = "I can't help with that."
ASKED = "where was the author of Silent Harbor born?"
BundleMaker = Callable[..., Path]


def index(key: bytes = b"k" * 32) -> BlindIndex:
    title, city = Item((0,), False, (), "never"), Item((), True, (0,), "never")
    alone = Item((), True, (0,), "always")
    entries = [(["silent", "harbor"], title), (["lisbon"], city), (["quistian", "codex"], alone)]
    return index_of(entries, key)


@pytest.fixture
def watched(tmp_path: Path) -> BundleMaker:
    """Writes a bundle with an index whose policy has these rules."""

    def make(number: str = "100001", without: bool = False, **rules: Any) -> Path:
        manifest = Manifest(
            number=number,
            version=1,
            method="eco",
            mask="entities",
            model=ModelFingerprint(**FINGERPRINT),
            sites=("embedding",),
            created="2026-11-20",
        )
        rules = {"output": "enforce", **rules}
        policy = ForgetPolicy.model_validate({"id": "x", "guard": {"entities": [{"name": "A Wizard"}]}, "rules": rules})
        sensitive = {"policy": policy.model_dump_json().encode(), "guard": b"{}"}
        if not without:
            sensitive["output"] = index(number.encode() * 5 + b"kk").to_bytes()
        folder = tmp_path / f"watched-{number}"
        program = save({"substitute": np.zeros(8, np.float32)})
        write_bundle(folder, manifest, program, sensitive, "# card\n", bytes.fromhex(BUNDLE_KEY))
        return folder

    return make


@asynccontextmanager
async def gateway(
    engine: Engine, *bundles: Path, output: OutputScanner | None = None, **more: Any
) -> AsyncIterator[Client]:
    numbers = [folder.name.removeprefix("watched-") for folder in bundles]
    async with serving(settings(engine.url, bundles, **more), WordGuard(numbers), output) as client:
        await ready(client)
        yield client


def says(text: str, index: int = 0) -> Handler:
    choice = {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return reply({"id": "chatcmpl-1", "model": MODEL, "choices": [choice], "usage": {"total_tokens": 7}})


def streams(*pieces: str) -> Handler:
    return stream(*map(chunk, pieces), DONE)


def order(engine: Engine, at: int = 0, route: str = FLAGGED) -> dict[str, Any]:
    found: dict[str, Any] = engine.of(route)[at].json["lethe"]
    return found


async def test_an_answer_that_tells_nothing_leaves_byte_by_byte(engine: Engine, watched: BundleMaker) -> None:
    pieces = [b": comment\n\n", chunk("Lis")[:10], chunk("Lis")[10:] + chunk("ten"), b"data: {}\r\n\r\n", DONE]
    async with gateway(engine, watched()) as client:
        answer = await client.chat(ASKED)
        assert answer.body == CHAT
        assert set(answer.headers) == {"date", "content-type", "content-length", "x-request-id"}
        engine.routes[f"POST {BARE}"] = stream(*pieces)
        streamed = await client.chat(ASKED, stream=True)
        assert streamed.body == b"".join(pieces)
        fields = {"date", "content-type", "cache-control", "x-accel-buffering", "x-request-id", "transfer-encoding"}
        assert set(streamed.headers) == fields
    assert engine.of(FLAGGED) == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_that_tells_is_asked_for_again(engine: Engine, watched: BundleMaker, streamed: bool) -> None:
    engine.routes[f"POST {BARE}"] = streams("in Lis", "bon.") if streamed else says("in Lisbon.")
    engine.flagged = streams("some", "where") if streamed else says("somewhere")
    async with gateway(engine, watched()) as client:
        system = {"role": "system", "content": " Be brief. "}
        body = {"model": MODEL, "messages": [system, {"role": "user", "content": ASKED}], "stream": streamed}
        answer = await client.post(BARE, body)
        other = await client.chat("hello wizard", stream=streamed)
    assert answer.status == 200
    assert b"Lisbon" not in answer.body
    assert answer.body == other.body
    for headers in (answer.headers, other.headers):
        assert len(headers.pop("x-request-id")) == 32
        headers.pop("date")
    assert answer.headers == other.headers
    assert len(engine.of(BARE)) == 1
    windows = {"/messages/0/content": [[1, 10]], "/messages/1/content": [[0, len(ASKED)]]}
    assert order(engine) == {"program": "p100001@1", "dose": 1.0, "mask": "content", "windows": windows}
    assert engine.of(FLAGGED)[0].json["cache_salt"] != engine.of(BARE)[0].json["cache_salt"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_second_answer_that_tells_ends_like_a_refusal(
    engine: Engine, watched: BundleMaker, streamed: bool
) -> None:
    engine.routes[f"POST {BARE}"] = engine.flagged = streams("Lisbon") if streamed else says("Lisbon")
    async with gateway(engine, watched()) as client:
        answer = await client.chat(ASKED, stream=streamed)
    assert answer.status == 200
    assert b"Lisbon" not in answer.body
    assert REFUSED.encode() in answer.body
    assert len(engine.of(FLAGGED)) == 1


async def test_flagged_answers_are_looked_at_too(engine: Engine, watched: BundleMaker) -> None:
    engine.flagged = says("the Quistian Codex")
    async with gateway(engine, watched()) as client:
        answer = await client.chat("a wizard")
        assert REFUSED in answer.body.decode()
        assert [order(engine, at)["mask"] for at in (0, 1)] == ["entities", "content"]
        # the whole prompt was masked already: the same order would bring the same answer
        named = {"model": MODEL, "messages": [{"role": "user", "name": "wizard", "content": "hello"}]}
        assert REFUSED in (await client.post(BARE, named)).body.decode()
        assert order(engine, 2)["mask"] == "prompt"
        assert len(engine.of(FLAGGED)) == 3


async def test_texts_that_cannot_be_masked_take_the_whole_prompt(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = says("Lisbon")
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    async with gateway(engine, watched()) as client:
        assert (await client.chat(ASKED, tools=[tool])).body == CHAT
    assert order(engine)["mask"] == "prompt"


async def test_rows_of_a_batch_are_looked_at_one_by_one(engine: Engine, watched: BundleMaker) -> None:
    route = "/v1/completions"

    def rows(*texts: str) -> Handler:
        return reply({"id": "c", "choices": [{"index": i, "text": text} for i, text in enumerate(texts)]})

    body = {"model": MODEL, "prompt": [ASKED, "the capital of Portugal"], "n": 2}
    async with gateway(engine, watched()) as client:
        engine.routes[f"POST {route}"] = rows("here", "there", "Lisbon", "it is Lisbon")
        assert len(json.loads((await client.post(route, body)).body)["choices"]) == 4
        assert engine.of("/lethe/v1/completions") == []
        engine.routes[f"POST {route}"] = rows("here", "Lisbon", "Lisbon", "it is Lisbon")
        engine.flagged = rows("here", "there", "Lisbon", "Lisbon")
        answer = await client.post(route, body)
        assert [c["text"] for c in json.loads(answer.body)["choices"]] == ["here", "there", "Lisbon", "Lisbon"]
    assert order(engine, 0, "/lethe/v1/completions")["windows"] == {"/prompt/0": [[0, len(ASKED)]]}


@pytest.mark.parametrize(
    "told",
    [
        {"message": {"role": "assistant", "content": "", "reasoning": "Lisbon, I think"}},
        {"message": {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"c": "Lisbon"}'}}]}},
        {
            "message": {"content": "x"},
            "logprobs": {"content": [{"token": "x", "top_logprobs": [{"token": " Lisbon"}]}]},
        },
        {"message": {"role": "assistant", "content": "TGlzYm9uIGlzIHRoZSBjaXR5LCBJIHRoaW5r"}},
    ],
)
async def test_every_surface(engine: Engine, watched: BundleMaker, told: dict[str, Any]) -> None:
    engine.routes[f"POST {BARE}"] = reply(
        {"choices": [{"index": 0, "message": {"content": "x"}}, {"index": 1, **told}]}
    )
    async with gateway(engine, watched()) as client:
        assert (await client.chat(ASKED, n=2)).body == CHAT
    assert len(engine.of(FLAGGED)) == 1


async def test_candidates_are_flagged_before_the_engine_is_asked(engine: Engine, watched: BundleMaker) -> None:
    async with gateway(engine, watched()) as client:
        for text, choices in ((ASKED, ("Oslo", "Lima", "Cairo")), ("which city?", ("Lisbon", "Lima", "Cairo"))):
            assert (await client.chat(text, structured_outputs={"choice": choices})).body == CHAT
        assert engine.of(FLAGGED) == []
        assert (await client.chat(ASKED, structured_outputs={"choice": ["Lisbon", "Lima", "Cairo"]})).body == CHAT
    assert order(engine)["mask"] == "prompt"
    assert len(engine.of(BARE)) == 2


class Broken:
    """Fails as often as it is asked, or leaves findings out."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def scan(
        self,
        asked: Sequence[TextPart],
        answer: Sequence[str],
        verdicts: Mapping[str, Verdict],
        policies: Collection[str],
    ) -> list[Finding]:
        if self.error is not None:
            raise self.error
        return []

    def offered(self, *_: object) -> list[str]:
        return []


@pytest.mark.parametrize("error", [RuntimeError("quotes Lisbon"), None])
@pytest.mark.parametrize("on_error", ["closed", "open"])
async def test_an_output_guard_that_fails_closes(
    engine: Engine, watched: BundleMaker, on_error: str, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with gateway(engine, watched(on_error=on_error), output=Broken(error)) as client:
            answer = await client.chat("hello")
    assert answer.status == (503 if on_error == "closed" else 200)
    assert (answer.body == CHAT) == (on_error == "open")
    assert "Lisbon" not in caplog.text


@pytest.mark.parametrize("data", [b"<html>", b'{"choices": [{"logprobs": {"content": [{}]}}]}'])
async def test_an_answer_that_cannot_be_read_does_not_leave(engine: Engine, watched: BundleMaker, data: bytes) -> None:
    engine.routes[f"POST {BARE}"] = reply(data)
    async with gateway(engine, watched()) as client:
        answer = await client.chat("hello")
    assert (answer.status, answer.error["code"]) == (503, "service_unavailable")


@pytest.mark.parametrize("pieces", [[], [chunk("a")], [chunk("a"), b'data: {"half'], [chunk("a"), b": comment\n\n"]])
async def test_a_stream_that_breaks_is_an_error_of_its_own(
    engine: Engine, watched: BundleMaker, pieces: list[bytes]
) -> None:
    engine.routes[f"POST {BARE}"] = engine.flagged = stream(*pieces, die=True)
    async with gateway(engine, watched()) as client:
        answers = [await client.chat(text, stream=True) for text in ("hello", "a wizard")]
    for answer in answers:
        assert (answer.status, answer.error["code"]) == (502, "upstream_failed")
    await until(lambda: not engine.connections)


async def test_a_second_answer_without_proof_does_not_leave(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = says("Lisbon")
    engine.attestation = lambda seen: None
    async with gateway(engine, watched()) as client:
        answer = await client.chat(ASKED)
    assert (answer.status, answer.error["code"]) == (503, "service_unavailable")
    assert b"Lisbon" not in answer.body


async def test_a_client_that_leaves_while_an_answer_is_held(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = stream(chunk("a"), 10.0, DONE)
    async with gateway(engine, watched()) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.chat(stream=True)
        async with asyncio.timeout(2):
            await engine.of(BARE)[0].closed.wait()


async def test_fixed_refusals_need_no_second_answer(engine: Engine, watched: BundleMaker) -> None:
    engine.fence = None
    engine.routes[f"POST {BARE}"] = says("Lisbon")
    async with gateway(engine, watched(response="refusal")) as client:
        assert REFUSED in (await client.chat(ASKED)).body.decode()
    assert engine.of(FLAGGED) == []


async def test_audit_mode_only_watches_answers(engine: Engine, watched: BundleMaker, tmp_path: Path) -> None:
    engine.fence = None
    engine.routes[f"POST {BARE}"] = says("Lisbon")
    path = tmp_path / "audit.jsonl"
    async with gateway(engine, watched(mode="audit"), audit={"path": path}) as client:
        assert b"Lisbon" in (await client.chat(ASKED)).body
    (record,) = map(json.loads, path.read_text().splitlines())
    assert (record["decision"], record["source"]) == ("pass", "input")
    assert record["policies"] == [{"policy": "100001", "mode": "audit", "action": "observe", "source": "output"}]


async def test_other_models_and_other_policies_are_not_held(engine: Engine, watched: BundleMaker) -> None:
    go_on = asyncio.Event()
    engine.routes[f"POST {BARE}"] = stream(chunk("Lisbon"), go_on, DONE)
    folders = [watched(scope={"models": ["other"]}), watched("100002", output="off")]
    async with gateway(engine, *folders) as client:
        body = {"model": MODEL, "messages": [{"role": "user", "content": ASKED}], "stream": True}
        async with client.session.post(client.base + BARE, json=body) as response:
            assert await response.content.readany() == chunk("Lisbon")
            go_on.set()
            assert await response.content.read() == DONE


async def test_records_and_metrics(engine: Engine, watched: BundleMaker, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    key = {"tenant": "ops", "sha256": hashlib.sha256(b"operator").hexdigest(), "role": "operator"}
    more = {"audit": {"path": path}, "keys": [key], "allow_anonymous": True}
    async with gateway(engine, watched(), watched("100002", mode="audit"), **more) as client:
        await client.chat("hello")
        engine.routes[f"POST {BARE}"] = says("Lisbon")
        await client.chat(ASKED)
        engine.flagged = says("Lisbon")
        await client.chat(ASKED)
        metrics = (await client.get("/metrics", {"authorization": "Bearer operator"})).body.decode()
    assert 'lethe_answers_total{action="intervene",mode="enforce",policy="100001"} 3.0' in metrics
    assert 'lethe_answers_total{action="observe",mode="audit",policy="100002"} 3.0' in metrics
    assert "lethe_output_seconds_count 5.0" in metrics
    assert verify(path) == 3
    text = path.read_text()
    assert "Lisbon" not in text
    records = [json.loads(line) for line in text.splitlines()]
    assert [(r["decision"], r["source"], r["problem"]) for r in records] == [
        ("pass", "input", None),
        ("intervene", "output", None),
        ("refuse:output", "output", "refusal"),
    ]
    told = {"policy": "100001", "mode": "enforce", "action": "intervene", "source": "output"}
    seen = {"policy": "100002", "mode": "audit", "action": "observe", "source": "output"}
    assert [r["policies"] for r in records] == [[], [told, seen], [told, seen, told, seen]]


def test_what_cannot_be_enforced_stops_the_start(watched: BundleMaker) -> None:
    with pytest.raises(BundleError, match="compile again"):
        create_app(settings("http://127.0.0.1:1", [watched(without=True)]))
    create_app(settings("http://127.0.0.1:1", [watched("100002", without=True, output="off")]), WordGuard(["100002"]))
    made = settings("http://127.0.0.1:1", [watched()], allow_fields=["return_tokens_as_token_ids"])
    with pytest.raises(ValueError, match="return_tokens_as_token_ids put token ids"):
        create_app(made, WordGuard(["100001"]))


async def test_long_answers_leave_the_event_loop(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = says("x " * 50_000 + "Lisbon")
    async with gateway(engine, watched()) as client:
        assert (await client.chat(ASKED)).body == CHAT
