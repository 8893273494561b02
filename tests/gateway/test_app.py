"""Routes, keys, errors, and the official client."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from gateway.access import Access
from gateway.app import InstallationError, check_installation, create_app
from gateway.errors import LetheError, UnauthorizedError
from gateway.settings import KeySettings
from steering.bundle import BundleError
from tests.gateway.conftest import Client, serving, settings
from tests.gateway.upstream import CHAT, DONE, MODEL, Engine, chunk, reply, stream

HELLO = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "//v1/chat/completions"),
        ("POST", "/v1/chat/completions/render"),
        ("POST", "/invocations"),
        ("POST", "/generative_scoring"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/messages"),
        ("POST", "/inference/v1/generate"),
        ("POST", "/tokenize"),
        ("POST", "/detokenize"),
        ("POST", "/v1/load_lora_adapter"),
        ("POST", "/collective_rpc"),
        ("POST", "/reset_prefix_cache"),
        ("GET", "/lethe/v1/programs"),
        ("PUT", "/lethe/v1/programs/p1@1"),
        ("POST", "/lethe/v1/chat/completions"),
        ("GET", "/v1/models/x"),
        ("OPTIONS", "/invocations"),
    ],
)
async def test_everything_else_is_denied(engine: Engine, plain: Client, method: str, path: str) -> None:
    async with plain.session.request(method, plain.base + path) as response:
        assert response.status == 404
        assert json.loads(await response.read())["error"]["message"] == "There is no such route."
        assert response.headers["content-type"] == "application/json"
        assert "x-request-id" in response.headers
    assert engine.seen == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/completions"), ("POST", "/v1/models"), ("PUT", "/healthz")])
async def test_other_methods_are_denied(engine: Engine, plain: Client, method: str, path: str) -> None:
    async with plain.session.request(method, plain.base + path) as response:
        assert response.status == 405
        assert json.loads(await response.read())["error"]["code"] == "method_not_allowed"
    assert engine.seen == []


def test_access() -> None:
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one", "two", "ops")}
    keys = [
        KeySettings(tenant="a", sha256=digests["one"]),
        KeySettings(tenant="b", sha256=digests["two"]),
        KeySettings(tenant="o", sha256=digests["ops"], role="operator"),
    ]
    access = Access(keys, allow_anonymous=False)
    assert [access.tenant(f"Bearer {key}") for key in ("one", "two")] == ["a", "b"]
    assert access.tenant("bearer ops", "operator") == "o"
    for wrong in (None, "", "Bearer", "Bearer ", "Bearer three", "Basic one", "one", "Bearer ops", "Bearer on\udce9"):
        with pytest.raises(UnauthorizedError):
            access.tenant(wrong)
    with pytest.raises(UnauthorizedError):
        access.tenant("Bearer one", "operator")
    assert Access((), allow_anonymous=True).tenant(None) == "anonymous"
    with pytest.raises(UnauthorizedError):
        Access((), allow_anonymous=True).tenant(None, "operator")
    with pytest.raises(UnauthorizedError):
        Access((), allow_anonymous=False).tenant("Bearer ")


async def test_keys_guard_every_route_of_clients(engine: Engine) -> None:
    engine.fence = None
    keys = [{"tenant": "a", "sha256": hashlib.sha256(b"right").hexdigest()}]
    async with serving(settings(engine.url, keys=keys)) as client:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            assert (await client.get("/v1/models", headers)).status == 401
            answer = await client.post("/v1/chat/completions", {"model": MODEL, "messages": HELLO}, headers=headers)
            assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
            # a wrong key learns nothing about the body
            assert (await client.post("/v1/chat/completions", data=b"{", headers=headers)).status == 401
        assert engine.seen == []
        assert (await client.get("/v1/models", {"authorization": "Bearer right"})).status == 200


def _subclasses(cls: type[LetheError]) -> list[type[LetheError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in _subclasses(child))]


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    import gateway.errors

    drawn = gateway.errors.__doc__ or ""
    for cls in _subclasses(LetheError):
        assert f" {cls.__name__} " in drawn.replace("\n", " ")


async def test_a_fault_of_ours_is_an_error_body_and_logs_no_content(
    engine: Engine, plain: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import gateway.lifecycle

    def broken(*_: object) -> None:
        raise ValueError("quotes the request")

    monkeypatch.setattr(gateway.lifecycle, "sanitize", broken)
    with caplog.at_level(logging.DEBUG):
        answer = await plain.chat()
    assert answer.status == 500
    assert answer.error["message"] == "The gateway failed."
    assert "quotes" not in caplog.text
    assert "ValueError" in caplog.text


async def test_official_client(engine: Engine, guarded: Client) -> None:
    client = openai.AsyncOpenAI(base_url=guarded.base + "/v1", api_key="any", max_retries=0)
    async with client:
        for text in ("hello", "a wizard"):
            messages = [{"role": "user", "content": text}]
            engine.routes["POST /v1/chat/completions"] = engine.flagged = reply(CHAT)
            answer = await client.chat.completions.create(model=MODEL, messages=messages)  # type: ignore[arg-type]
            assert answer.choices[0].message.content == "Ünïcode  answer"
            tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
            await client.chat.completions.create(
                model=MODEL,
                messages=[*messages, {**answer.choices[0].message.model_dump()}, messages[0]],  # type: ignore[arg-type]
                tools=[tool],  # type: ignore[arg-type,list-item]
                tool_choice="auto",
                n=2,
                logprobs=True,
                top_logprobs=2,
                response_format={"type": "json_object"},
            )
            engine.routes["POST /v1/chat/completions"] = engine.flagged = stream(
                chunk("a"), chunk("b"), chunk("", choices=[], usage=None), DONE
            )
            parts = await client.chat.completions.create(
                model=MODEL,
                messages=messages,  # type: ignore[arg-type]
                stream=True,
                stream_options={"include_usage": True},
            )
            said = [part.choices[0].delta.content async for part in parts if part.choices]  # type: ignore[union-attr]
            assert said == ["a", "b"]
        assert [model.id async for model in client.models.list()] == [MODEL]
        with pytest.raises(openai.BadRequestError) as error:
            await client.chat.completions.create(
                model=MODEL,
                messages=HELLO,  # type: ignore[arg-type]
                extra_body={"vllm_xargs": {"a": 1}},
            )
        assert error.value.param == "vllm_xargs"
        engine.routes["POST /v1/chat/completions"] = stream(chunk("a"), die=True)
        parts = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)  # type: ignore[call-overload]
        assert (await anext(parts)).choices[0].delta.content == "a"
        with pytest.raises(openai.APIError, match="broke the answer off"):
            await anext(parts)


def test_wrong_bundles_stop_the_start(bundle: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        create_app(settings("http://127.0.0.1:1", [tmp_path / "none"]))
    folder = bundle()
    with pytest.raises(BundleError, match="same policy"):
        create_app(settings("http://127.0.0.1:1", [folder, folder]))
    with pytest.raises(ValueError, match="LETHE_ENGINE_KEY"):
        create_app(settings("http://127.0.0.1:1", [folder], upstream={"engine_key": None}))


def test_foreign_packages_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    check_installation()
    import gateway.app

    class Foreign:
        origin = str(tmp_path / "guards" / "__init__.py")

    monkeypatch.setattr(gateway.app, "find_spec", lambda name: Foreign)
    with pytest.raises(InstallationError, match="package guards comes from"):
        check_installation()


async def test_two_gateways_in_one_process(engine: Engine) -> None:
    engine.fence = None
    async with serving(settings(engine.url)) as one, serving(settings(engine.url)) as two:
        answers = await asyncio.gather(one.chat(), two.chat())
    assert [answer.body for answer in answers] == [CHAT, CHAT]
