"""An answer that tells is asked for again: the contract with the real engine that needs no vLLM."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from gateway.policy import ForgetPolicy
from guards.blindindex import Item, canonical, index_of
from guards.normalize import Normalizer
from guards.output import OutputGuard
from guards.verdict import TextPart
from steering.bundle import Manifest, write_bundle
from steering.program import EcoProgram, Program
from tests.gateway.conftest import BUNDLE_KEY, QuietServer, WordGuard, ready, serving, settings
from tests.gateway.upstream import ENGINE_KEY

pytest.importorskip("transformers", reason="the engine extra is not installed")


async def test_a_told_value_is_gone_from_the_second_answer(tiny_model: Path, tmp_path: Path) -> None:
    from steering.engine.local.model import LocalModel
    from steering.engine.local.server import create_app

    model = LocalModel.load(str(tiny_model), "float32", "cpu", "tiny")
    eco = EcoProgram(kind="noise", dims=256, strength=1.0, seed=3, model=model.fingerprint)
    manifest = Manifest(
        number="100001",
        version=1,
        method="eco",
        mask="entities",
        model=model.fingerprint,
        sites=("embedding",),
        created="2026-11-20",
    )

    def bundle(name: str, output: str, index: bytes) -> Path:
        rules = {"output": output}
        policy = ForgetPolicy.model_validate({"id": "x", "guard": {"entities": [{"name": "A Wizard"}]}, "rules": rules})
        sensitive = {"policy": policy.model_dump_json().encode(), "guard": b"{}", "output": index}
        program = Program(eco, np.zeros(256, np.float32)).to_bytes()
        write_bundle(tmp_path / name, manifest, program, sensitive, "card", bytes.fromhex(BUNDLE_KEY))
        return tmp_path / name

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(model, ENGINE_KEY.encode()), log_config=None, timeout_graceful_shutdown=2)
    server = QuietServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    chat = {
        "model": "tiny",
        "max_tokens": 8,
        "temperature": 0,
        "messages": [{"role": "user", "content": "def print self import"}],
    }
    never = WordGuard(["100001"], "no such word")
    async with serving(settings(url, [bundle("off", "off", b"")]), never) as client:
        await ready(client)
        bare = (await client.post("/v1/chat/completions", chat)).body
    said = json.loads(bare)["choices"][0]["message"]["content"]
    words = canonical(said, Normalizer())
    assert words, "the model said nothing that could be forgotten"
    index = index_of([(words, Item((), True, (), "always"))], b"k" * 32)
    audit = tmp_path / "audit.jsonl"
    folder = bundle("on", "enforce", index.to_bytes())
    async with serving(settings(url, [folder], audit={"path": audit}), never) as client:
        await ready(client)
        answers = [(await client.post("/v1/chat/completions", {**chat, "stream": s})).body for s in (False, True)]
        other = {**chat, "messages": [{"role": "user", "content": "class range list"}]}
        assert (await client.post("/v1/chat/completions", other)).status == 200
    frames = [json.loads(f.removeprefix(b"data: ")) for f in answers[1].split(b"\n\n")[:-2]]
    streamed = "".join(c["delta"].get("content") or "" for f in frames for c in f["choices"])
    again = json.loads(answers[0])
    assert again["choices"][0]["message"]["content"] == streamed != said
    assert again["usage"]["prompt_tokens"] == json.loads(bare)["usage"]["prompt_tokens"]
    guard = OutputGuard({"1": index})
    asked = [TextPart("/messages/0/content", "user", "def print self import")]
    assert [guard.scan(asked, [text], {}, ["1"])[0].told for text in (said, streamed)] == [True, False]
    decisions = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(d["decision"], d["source"]) for d in decisions[:2]] == [("intervene", "output")] * 2
    server.should_exit = True
    await task
    listener.close()
