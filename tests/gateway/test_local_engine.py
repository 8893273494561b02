"""The contract between gateway and engine, with the real engine that needs no vLLM."""

from __future__ import annotations

import json
from typing import Any

from tests.gateway.conftest import Client, Local, WordGuard, ready, serving, settings


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
