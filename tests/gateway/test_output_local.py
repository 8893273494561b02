"""An answer that tells is asked for again: the contract with the real engine that needs no vLLM."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.carrying import continued, over_said
from gateway.decision import Intervene
from gateway.stream import split
from guards.blindindex import BlindIndex, Item, canonical, index_of, words_of
from guards.normalize import Normalizer
from guards.output import OutputGuard
from guards.verdict import TextPart
from steering.plan import Intervention, plan
from tests.gateway.conftest import Local, WordGuard, ready, serving, settings

NORMALIZER = Normalizer()
BARE = "/v1/chat/completions"
QUESTION = "def print self import"
CHAT = {"model": "tiny", "max_tokens": 8, "temperature": 0, "messages": [{"role": "user", "content": QUESTION}]}


def frames_of(body: bytes) -> list[dict[str, Any]]:
    assert body.endswith(b"data: [DONE]\n\n")
    return [json.loads(frame[6:]) for frame in split(body) if frame.startswith(b"data: {")]


def text_of(frames: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for frame in frames for choice in frame["choices"])


def index(words: list[str]) -> BlindIndex:
    return index_of([(words, Item((), True, (), "always"))], b"k" * 32)


@pytest.fixture
def never() -> WordGuard:
    return WordGuard(["100001"], "no such word")


async def bare(local: Local, never: WordGuard, **more: Any) -> dict[str, Any]:
    async with serving(settings(local.url, [local.bundle("off")]), never) as client:
        await ready(client)
        answer: dict[str, Any] = json.loads((await client.post(BARE, {**CHAT, **more})).body)
        return answer


async def test_a_told_value_is_gone_from_the_second_answer(local: Local, never: WordGuard) -> None:
    before = await bare(local, never)
    said = before["choices"][0]["message"]["content"]
    words = canonical(said, NORMALIZER)
    assert words, "the model said nothing that could be forgotten"
    audit = local.folder / "audit.jsonl"
    folder = local.bundle("on", index(words).to_bytes(), output="enforce")
    async with serving(settings(local.url, [folder], audit={"path": audit}), never) as client:
        await ready(client)
        answers = [(await client.post(BARE, {**CHAT, "stream": s})).body for s in (False, True)]
        other = {**CHAT, "messages": [{"role": "user", "content": "class range list"}]}
        assert (await client.post(BARE, other)).status == 200
    streamed = text_of(frames_of(answers[1]))
    again = json.loads(answers[0])
    assert again["choices"][0]["message"]["content"] == streamed != said
    assert again["usage"]["prompt_tokens"] == before["usage"]["prompt_tokens"]
    guard = OutputGuard({"1": index(words)})
    asked = [TextPart("/messages/0/content", "user", QUESTION)]
    assert [guard.scan(asked, [text], {}, ["1"])[0].told for text in (said, streamed)] == [True, False]
    decisions = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(d["decision"], d["source"]) for d in decisions[:2]] == [("intervene", "output")] * 2


async def test_a_stream_is_taken_up_again_in_the_middle(local: Local, never: WordGuard) -> None:
    limit = 240
    before = await bare(local, never, max_tokens=limit)
    said, usage = before["choices"][0]["message"]["content"], before["usage"]
    words = words_of(NORMALIZER.view(NORMALIZER.fold(said)))
    value = next(words[at : at + 2] for at in range(60, len(words) - 3) if words[at] not in words[:at])
    place = said.lower().index(value[0])
    audit = local.folder / "audit.jsonl"
    folder = local.bundle("on", index(value).to_bytes(), output="stream")
    ask = {**CHAT, "max_tokens": limit, "stream": True, "stream_options": {"include_usage": True}}
    async with serving(settings(local.url, [folder], audit={"path": audit}), never) as client:
        await ready(client)
        body = (await client.post(BARE, ask)).body
        short = (await client.post(BARE, {**ask, "max_tokens": 3})).body
    frames = frames_of(body)
    text = text_of(frames)
    kept = next(at for at in range(len(text) + 1) if text[: at + 1] != said[: at + 1])
    assert 20 < kept <= place  # it begins as the bare model's answer does, and not with the value
    assert OutputGuard({"1": index(value)}).scan([], [text], {}, ["1"])[0].told is False
    assert len({frame["id"] for frame in frames}) == len({frame["created"] for frame in frames}) == 1
    assert sum("role" in choice["delta"] for frame in frames for choice in frame["choices"]) == 1
    reasons = [choice["finish_reason"] for frame in frames for choice in frame["choices"] if choice["finish_reason"]]
    assert reasons == ["length"]
    assert frames[-1]["usage"]["prompt_tokens"] == usage["prompt_tokens"]
    assert frames[-1]["usage"]["completion_tokens"] == limit
    assert frames[-1]["usage"]["total_tokens"] == usage["prompt_tokens"] + limit
    # frames differ in nothing but what they say from those of an answer that was let through
    assert {shape(frame) for frame in frames} == {shape(frame) for frame in frames_of(short)}
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(r["decision"], r["source"]) for r in records] == [("intervene", "output"), ("pass", "input")]


def shape(frame: dict[str, Any]) -> str:
    """Fields of a frame, in their order."""
    inner = [list(choice) + list(choice["delta"]) for choice in frame["choices"]]
    return json.dumps([list(frame), inner, list(frame.get("usage") or ())])


def test_what_was_said_is_masked_as_well(local: Local) -> None:
    from steering.engine.local.request import parse_job
    from steering.engine.order import take_order

    said = "import os, sys and re from the list of"
    asked = {**CHAT, "stream": True}
    for mask, windows in (("content", {"/messages/0/content": [(4, 9)]}), ("prompt", {})):
        decision = over_said(Intervene(Intervention("p100001@1", 1.0, mask, windows), ()), asked, said)
        body, order = take_order(plan(BARE, continued(asked, said), decision.intervention, "salt").body)
        job = parse_job(body, local.model, chat=True, order=order)
        ((ids,), (spans,)) = job.prompts, job.spans
        masked = [ids[at] for start, end in zip(spans[::2], spans[1::2], strict=True) for at in range(start, end)]
        text = local.model.tokenizer.decode(masked)
        assert text.endswith(said)
        assert local.model.tokenizer.decode(ids).endswith(f"<|assistant|>\n{said}")
        assert (text == f" print{said}") == (mask == "content")
