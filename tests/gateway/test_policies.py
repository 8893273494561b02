"""Requests that touch a policy, end to end against a scripted engine with the real fence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from steering.fence import attest
from tests.gateway.conftest import Client, WordGuard, ready, serving, settings, until
from tests.gateway.upstream import CHAT, DONE, MODEL, Engine, Seen, chunk, reply, stream

BARE, FLAGGED = "/v1/chat/completions", "/lethe/v1/chat/completions"
BundleMaker = Callable[..., Path]


async def test_only_flagged_requests_take_the_other_route(engine: Engine, guarded: Client) -> None:
    assert (await guarded.chat("hello")).body == CHAT
    assert (await guarded.chat("a wizard, you see")).body == CHAT
    bare, flagged = engine.of(BARE)[0].json, engine.of(FLAGGED)[0].json
    assert "lethe" not in bare
    order = flagged.pop("lethe")
    assert order == {
        "program": "p100001@1",
        "dose": 1.0,
        "mask": "entities",
        "windows": {"/messages/0/content": [[2, 8]]},
    }
    assert bare.pop("cache_salt") != flagged.pop("cache_salt")
    assert flagged["messages"][0]["content"] == "a wizard, you see"


async def test_no_deterministic_difference(engine: Engine, guarded: Client) -> None:
    """Status, headers and bytes of a flagged and an unflagged answer, streamed or not, success or error."""
    error = {"error": {"message": "too long", "type": "BadRequestError", "param": None, "code": 400}}
    for handler, streamed in (
        (reply(CHAT), False),
        (stream(chunk("a"), DONE), True),
        (stream(chunk("a"), die=True), True),
        (stream(chunk("a"), b'data: {"half', die=True), True),
        (reply(error, 400), False),
        (reply({"error": {"message": "no such model"}}, 404), False),
        (reply(b"boom", 500), False),
        (reply({"error": {"message": "full"}}, 503), False),
    ):
        engine.routes[f"POST {BARE}"] = engine.flagged = handler
        await ready(guarded)
        answers = [await guarded.chat(text, stream=streamed) for text in ("hello", "a wizard")]
        for answer in answers:
            assert len(answer.headers.pop("x-request-id")) == 32
            answer.headers.pop("date")
        assert answers[0].status == answers[1].status
        assert answers[0].headers == answers[1].headers
        assert answers[0].body == answers[1].body


Forge = Callable[[Engine, Seen], str | None]


def _claims(engine: Engine, seen: Seen, **wrong: object) -> str:
    order = seen.json["lethe"]
    claims = {"nonce": seen.nonce, "program": order["program"], "boot": engine.boot, "table": 1, "masked": 1}
    return attest(engine.key, {**claims, **wrong})


FORGERIES: dict[str, Forge] = {
    "missing": lambda engine, seen: None,
    "empty": lambda engine, seen: "",
    "garbage": lambda engine, seen: "not.genuine",
    "other key": lambda engine, seen: attest(b"k" * 16, {"nonce": seen.nonce, "program": "p100001@1"}),
    "other nonce": lambda engine, seen: _claims(engine, seen, nonce="0" * 16),
    "no nonce": lambda engine, seen: _claims(engine, seen, nonce=None),
    "other program": lambda engine, seen: _claims(engine, seen, program="p100002@1"),
    "other boot": lambda engine, seen: _claims(engine, seen, boot="boot-0"),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", FORGERIES)
async def test_without_proof_not_one_byte(engine: Engine, guarded: Client, name: str, streamed: bool) -> None:
    engine.attestation = lambda seen: FORGERIES[name](engine, seen)
    engine.flagged = stream(chunk("LEAK"), 5.0, DONE) if streamed else reply({"x": "LEAK"})
    asked = len(engine.of("/lethe/v1/programs"))
    answer = await guarded.chat("a wizard", stream=streamed)
    assert (answer.status, answer.error["code"]) == (503, "service_unavailable")
    assert b"LEAK" not in answer.body
    assert "x-lethe-attestation" not in answer.headers
    await until(lambda: len(engine.of("/lethe/v1/programs")) > asked)  # looked at again at once
    await ready(guarded)
    assert (await guarded.chat("hello")).status == 200


async def test_bare_answers_are_not_trusted_on_the_flagged_route(engine: Engine, guarded: Client) -> None:
    """A plug-in that vanished is a 404 on the flagged route, and an outage for the client."""
    engine.routes[f"POST {FLAGGED}"] = reply({"detail": "Not Found"}, 404)
    answer = await guarded.chat("a wizard")
    assert answer.status == 503


CUT = {"message": "the chat template cuts a flagged window", "type": "lethe_mask", "param": None, "code": "lethe_mask"}


async def test_mask_that_cannot_be_computed_is_an_outage(engine: Engine, guarded: Client) -> None:
    engine.flagged = reply({"error": CUT}, 422)
    engine.routes[f"POST {BARE}"] = stream(chunk("LEAK"), 5.0, DONE)
    answer = await guarded.chat("a wizard")
    assert answer.status == 503
    assert b"template" not in answer.body
    assert b"LEAK" not in answer.body
    await until(engine.of(BARE)[0].closed.is_set)


async def test_requests_that_no_route_takes_fail_alike(engine: Engine, guarded: Client) -> None:
    """An engine checks a flagged request earlier, in other words; a client must not see which check it was."""
    wrong = {
        "error": {"message": "temperature must be a number", "type": "BadRequestError", "param": None, "code": 400}
    }
    engine.flagged = reply({"error": {**CUT, "message": "a flagged request has one prompt"}}, 400)
    engine.routes[f"POST {BARE}"] = reply(wrong, 400)
    answers = [await guarded.chat(text, temperature="hot") for text in ("hello", "a wizard")]
    assert answers[0].status == answers[1].status == 400
    assert answers[0].body == answers[1].body
    assert engine.of(BARE)[0].json["cache_salt"] != engine.of(BARE)[1].json["cache_salt"]


async def test_restart_of_the_engine(engine: Engine, guarded: Client) -> None:
    engine.boot = "boot-2"
    engine.programs.clear()
    answer = await guarded.chat("a wizard")  # attested by another boot: refused, and looked into at once
    assert answer.status == 503
    await until(lambda: "p100001@1" in engine.programs)
    await ready(guarded)
    assert (await guarded.chat("a wizard")).body == CHAT


async def test_restart_is_noticed_without_a_flagged_request(engine: Engine, guarded: Client) -> None:
    engine.boot = "boot-2"
    engine.programs.clear()
    await until(lambda: "p100001@1" in engine.programs)


async def test_every_request_is_signed(engine: Engine, guarded: Client) -> None:
    await guarded.chat("hello")
    await guarded.get("/v1/models")
    assert engine.refused == []
    assert all("x-lethe-auth" in seen.headers for seen in engine.seen)


@pytest.mark.parametrize("fault", ["plug-in", "canary", "fingerprint", "conflict", "not ready", "key"])
async def test_unconfirmed_policy_closes_the_model(
    engine: Engine, bundle: BundleMaker, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    if fault == "plug-in":
        engine.routes["GET /lethe/v1/programs"] = reply({"detail": "Not Found"}, 404)
    elif fault == "canary":
        engine.canary_ok = False
    elif fault == "fingerprint":
        engine.model["dtype"] = "bfloat16"
    elif fault == "conflict":
        engine.routes["PUT /lethe/v1/programs/p100001@1"] = reply({"error": {"message": "other bytes"}}, 409)
    elif fault == "not ready":
        engine.routes["GET /lethe/v1/programs"] = reply({"error": {"message": "starting"}}, 503)
    elif fault == "key":
        engine.routes["GET /lethe/v1/programs"] = reply({}, 401)
    folder = bundle(scope={"models": [MODEL]})
    with caplog.at_level("WARNING", "lethe"):
        async with serving(settings(engine.url, [folder]), WordGuard(["100001"])) as client:
            await until(lambda: len(engine.of("/lethe/v1/programs")) >= 1)
            await asyncio.sleep(0.1)
            for text in ("hello", "a wizard"):
                answer = await client.chat(text)
                assert (answer.status, answer.error["code"]) == (503, "service_unavailable")
            assert (await client.get("/readyz")).status == 503
            other = {"model": "other", "messages": [{"role": "user", "content": "hello"}]}
            assert (await client.post(BARE, other)).status == 200  # another model is not concerned
    told = [r.getMessage() for r in caplog.records if r.name == "lethe.programs"]
    assert len(told) == 1
    assert "100001" in told[0]
    assert "secret-name" not in told[0]


@pytest.mark.parametrize("on_error", ["closed", "open"])
async def test_guard_that_fails(engine: Engine, bundle: BundleMaker, on_error: str) -> None:
    guard = WordGuard(["100001"])
    async with serving(settings(engine.url, [bundle(on_error=on_error)]), guard) as client:
        await ready(client)
        guard.error = RuntimeError("quotes the wizard")
        answer = await client.chat("a wizard")
        assert answer.status == (503 if on_error == "closed" else 200)
        assert len(engine.of(BARE)) == (on_error == "open")


async def test_long_texts_leave_the_event_loop(engine: Engine, guarded: Client) -> None:
    assert (await guarded.chat("x" * 5000 + " wizard")).status == 200
    assert engine.of(FLAGGED)[0].json["lethe"]["windows"] == {"/messages/0/content": [[5001, 5007]]}


@pytest.mark.parametrize("streamed", [False, True])
async def test_refusal(engine: Engine, bundle: BundleMaker, streamed: bool) -> None:
    folder = bundle(response="refusal")
    async with serving(settings(engine.url, [folder]), WordGuard(["100001"])) as client:
        answer = await client.chat("a wizard", stream=streamed, n=2, stream_options={"include_usage": True})
        assert answer.status == 200
        assert engine.of(FLAGGED) == engine.of(BARE) == []
        if not streamed:
            choices = json.loads(answer.body)["choices"]
            assert [choice["message"]["content"] for choice in choices] == ["I can't help with that."] * 2
        else:
            frames = answer.body.split(b"\n\n")
            assert frames[-2:] == [b"data: [DONE]", b""]
            parsed = [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:-2]]
            assert {c["index"] for frame in parsed for c in frame["choices"]} == {0, 1}
            assert parsed[-1]["choices"] == []
        assert (await client.chat("hello")).body == CHAT


async def test_audit_mode_only_watches(engine: Engine, bundle: BundleMaker) -> None:
    key = {"tenant": "ops", "sha256": "0" * 64, "role": "operator"}
    import hashlib

    key["sha256"] = hashlib.sha256(b"operator").hexdigest()
    engine.fence = None
    made = settings(engine.url, [bundle(mode="audit")], keys=[key], allow_anonymous=True)
    guard = WordGuard(["100001"])
    async with serving(made, guard) as client:
        guard.second = True
        assert (await client.chat("a wizard")).body == CHAT
        guard.second = False
        assert "cache_salt" not in engine.of(BARE)[0].json
        assert (await client.get("/metrics")).status == 401
        text = (await client.get("/metrics", {"authorization": "Bearer operator"})).body.decode()
        assert 'lethe_decisions_total{action="observe",mode="audit",policy="100001"} 1.0' in text
        assert 'lethe_requests_total{route="/v1/chat/completions",status="200"} 1.0' in text
        await client.chat("a boat")
        text = (await client.get("/metrics", {"authorization": "Bearer operator"})).body.decode()
        assert "lethe_guard_second_looks_total 1.0" in text


async def test_salts_separate_tenants_and_clients(engine: Engine, bundle: BundleMaker) -> None:
    import hashlib

    keys = [{"tenant": t, "sha256": hashlib.sha256(t.encode()).hexdigest()} for t in ("a", "b")]
    made = settings(engine.url, [bundle()], keys=keys, salt_secret="s" * 16)
    async with serving(made, WordGuard(["100001"])) as client:
        await ready(client)
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
        for tenant, salt in (("a", None), ("a", None), ("b", None), ("a", "mine"), ("b", "mine")):
            extra = {} if salt is None else {"cache_salt": salt}
            answer = await client.post(BARE, {**body, **extra}, headers={"authorization": f"Bearer {tenant}"})
            assert answer.status == 200
    salts = [seen.json["cache_salt"] for seen in engine.of(BARE)]
    assert salts[0] == salts[1]
    assert len(set(salts)) == 4
    assert "mine" not in salts


async def test_token_prompts_are_read_by_the_guard(engine: Engine, guarded: Client) -> None:
    engine.routes["POST /detokenize"] = reply({"prompt": "one wizard"})
    answer = await guarded.post("/v1/completions", {"model": MODEL, "prompt": [[1, 2, 3], [4]]})
    assert answer.status == 200
    asked = [seen.json for seen in engine.of("/detokenize")]
    assert asked == [{"model": MODEL, "tokens": [1, 2, 3]}, {"model": MODEL, "tokens": [4]}]
    order = engine.of("/lethe/v1/completions")[0].json["lethe"]
    assert order["windows"] == {"/prompt/0": [[4, 10]], "/prompt/1": [[4, 10]]}


async def test_detokenizer_that_fails_closes(engine: Engine, guarded: Client) -> None:
    engine.routes["POST /detokenize"] = reply(b"boom", 500)
    answer = await guarded.post("/v1/completions", {"model": MODEL, "prompt": [1, 2, 3]})
    assert answer.status == 502
    assert engine.of("/v1/completions") == []


async def test_images_are_refused_while_a_policy_says_so(engine: Engine, guarded: Client) -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    body = {"model": MODEL, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, part]}]}
    answer = await guarded.post(BARE, body)
    assert (answer.status, answer.error["code"]) == (400, "unsupported_content")
    assert engine.of(BARE) == []
