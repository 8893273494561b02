"""The contract between gateway and engine, with the real engine that needs no vLLM."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.policy import ForgetPolicy
from guards.verdict import TextPart, Verdict
from steering.activation import Activation, EditProgram, parameters
from steering.bundle import Manifest, write_bundle
from steering.composition import compose
from steering.engine.local.model import Edit
from tests.gateway.conftest import BUNDLE_KEY, Answer, Client, Local, WordGuard, ready, serving, settings


async def test_flagged_and_unflagged_against_the_local_engine(local: Local) -> None:
    url, folder, model = local.url, local.bundle("bundle"), local.model
    off, on = WordGuard(["100001"], "no such word"), WordGuard(["100001"])
    async with serving(settings(url, [folder]), off) as bare, serving(settings(url, [folder]), on) as guarded:
        await ready(bare)
        await ready(guarded)
        ask = {"model": "tiny", "max_tokens": 8, "temperature": 0}
        chat = {**ask, "messages": [{"role": "user", "content": "def wizard of print self import"}]}
        said = []
        for client in (bare, guarded):
            answer = await client.post("/v1/chat/completions", chat)
            assert answer.status == 200, answer.body
            said.append(json.loads(answer.body)["choices"][0]["message"]["content"])
        assert said[0] != said[1]

        streamed = await guarded.post("/v1/chat/completions", {**chat, "stream": True})
        frames = [json.loads(f.removeprefix(b"data: ")) for f in streamed.body.split(b"\n\n")[:-2]]
        text = "".join(c["delta"].get("content") or "" for f in frames for c in f["choices"])
        assert text == said[1]

        named = {**ask, "messages": [{"role": "user", "name": "wizard", "content": "hello"}]}
        assert (await guarded.post("/v1/chat/completions", named)).status == 200  # the whole prompt is masked

        async def complete(client: Client, prompt: Any, **more: Any) -> list[str]:
            answer = await client.post("/v1/completions", {**ask, "prompt": prompt, **more})
            assert answer.status == 200, answer.body
            return [choice["text"] for choice in json.loads(answer.body)["choices"]]

        texts = ["def a wizard of print", "hello"]
        ids = [model.tokenizer(text).input_ids for text in texts]
        free, held = await complete(bare, texts), await complete(guarded, texts)
        assert free[0] != held[0]
        assert free[1] == held[1]  # only the prompt with the word in it is edited
        assert await complete(guarded, ids) == held
        assert await complete(guarded, texts[0]) == await complete(guarded, ids[0]) == held[:1]

        for wrong in ({"n": 300}, {"temperature": "hot"}, {"max_tokens": -1}, {"n": 0}):
            answers = [await c.post("/v1/chat/completions", {**chat, **wrong}) for c in (bare, guarded)]
            assert answers[0].status == answers[1].status == 400
            assert answers[0].body == answers[1].body


class WordsGuard:
    """Flags for every policy the texts that hold its word."""

    def __init__(self, words: dict[str, str]) -> None:
        self.guards = [WordGuard([number], word) for number, word in words.items()]

    def scan(self, parts: Sequence[TextPart], policies: Collection[str] | None = None) -> list[Verdict]:
        return [verdict for guard in self.guards for verdict in guard.scan(parts, policies)]


def edit(local: Local, layers: tuple[int, ...], seed: int, *, gates: bool = False) -> Activation:
    rng = np.random.default_rng(seed)
    k, model = len(layers), local.model.fingerprint
    moves = 2 * rng.standard_normal((k, model.hidden_size)).astype(np.float32)
    phi = [parameters(1, constant=1.0)] * k
    if gates:
        moves[0], phi[0] = 0.0, parameters(1, constant=1.0, gates=1.0)
    program = EditProgram(method="cast" if gates else "redirect", layers=layers, strength=1.0, most=16.0, model=model)
    return Activation(program, np.zeros_like(moves.T), np.concatenate(phi, axis=1), moves)


def bundle_of(local: Local, number: str, program: Activation, **rules: Any) -> Path:
    manifest = Manifest(
        number=number,
        version=1,
        method=program.edit.method,
        mask="content",
        model=local.model.fingerprint,
        sites=tuple(f"layer.{layer}" for layer in program.edit.sites),
        created="2026-11-20",
    )
    policy = ForgetPolicy.model_validate({"id": "x", "guard": {"entities": [{"name": "A Wizard"}]}, "rules": rules})
    sensitive = {"policy": policy.model_dump_json().encode(), "guard": b"{}"}
    folder = local.folder / number
    write_bundle(folder, manifest, program.to_bytes(), sensitive, "card", bytes.fromhex(BUNDLE_KEY))
    return folder


async def completed(client: Client, prompt: str) -> Answer:
    return await client.post("/v1/completions", {"model": "tiny", "max_tokens": 8, "temperature": 0, "prompt": prompt})


async def test_a_request_that_touches_two_edits_gets_both_whatever_their_order(local: Local) -> None:
    programs = {"p100001@1": edit(local, (1,), 1), "p100002@1": edit(local, (1, 2), 2)}
    folders = [bundle_of(local, name[1:7], program) for name, program in programs.items()]
    model, texts = local.model, ("def a wizard of print", "def a witch of print", "def a wizard, a witch of print")

    def directly(text: str, program: Activation) -> str:
        ids = model.tokenizer(text).input_ids
        (answer,) = model.generate([ids], [Edit(program, 1.0, (0, len(ids)))], max_tokens=8)
        return str(model.tokenizer.decode(answer, skip_special_tokens=True))

    expected = [directly(text, p) for text, p in zip(texts, (*programs.values(), compose(programs)), strict=True)]
    assert expected[2] not in [directly(texts[2], program) for program in programs.values()]
    guard = WordsGuard({"100001": "wizard", "100002": "witch"})
    for order in (folders, folders[::-1]):
        async with serving(settings(local.url, order), guard) as client:
            await ready(client)
            async with asyncio.timeout(10):  # the program of both is loaded after those of each
                while (await completed(client, texts[2])).status == 503:
                    await asyncio.sleep(0.02)
            answers = [await completed(client, text) for text in texts]
            assert [answer.status for answer in answers] == [200] * 3, answers[-1].body
            assert [json.loads(answer.body)["choices"][0]["text"] for answer in answers] == expected


@pytest.mark.parametrize("why", ["a condition", "other tenants"])
async def test_two_edits_that_cannot_be_made_at_once_are_refused(local: Local, why: str) -> None:
    gated = why == "a condition"
    second = edit(local, (1, 2), 2, gates=gated)
    folders = [bundle_of(local, "100001", edit(local, (1,), 1)), bundle_of(local, "100002", second)]
    if not gated:
        folders[1] = bundle_of(local, "100002", second, scope={"tenants": ["nobody"]})
    guard = WordsGuard({"100001": "wizard", "100002": "witch"})
    async with serving(settings(local.url, folders), guard) as client:
        await ready(client)
        assert (await completed(client, "def a wizard of print")).status == 200
        both = await completed(client, "def a wizard, a witch of print")
        assert both.status == (503 if gated else 200), "a policy of other tenants is not asked"
