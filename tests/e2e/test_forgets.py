"""A real model that forgets, end to end. The last test ends the engine and must stay the last."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from gateway.demo.asking import ask_all, equal
from gateway.demo.scoring import decisions, read_rows
from gateway.demo.services import ServiceError, engine, free_port, gateway, running
from gateway.policy import ForgetPolicy
from guards.blindindex import Item, index_of, words_of
from guards.normalize import Normalizer
from guards.output import OutputGuard
from guards.values import found_values
from steering.bundle import parse_key, read_bundle, write_bundle
from tests.e2e.conftest import EXAMPLE, MODEL, Stack

pytestmark = [pytest.mark.vllm, pytest.mark.model]

NORMALIZER = Normalizer()
FORGET = "Who wrote the Harry Potter books?"
RETAIN = "What is the capital of France?"


def body(question: str, **fields: Any) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 24,
        "temperature": 0,
    } | fields


def text(reply: tuple[int, dict[str, str], bytes]) -> str:
    assert reply[0] == 200, reply
    return json.loads(reply[2])["choices"][0]["message"]["content"]  # type: ignore[no-any-return]


def streamed(data: bytes) -> tuple[str, list[dict[str, Any]]]:
    frames = [json.loads(part[6:]) for part in data.split(b"\n\n") if part.startswith(b"data: {")]
    return "".join(f["choices"][0]["delta"].get("content") or "" for f in frames if f.get("choices")), frames


def test_held_out_questions(stack: Stack) -> None:
    rows = [r for r in read_rows(EXAMPLE / "heldout" / "forget.jsonl") if r["fact"] == "author"][:16]
    asked = [[{"role": "user", "content": r["question"]}] for r in rows]
    before = ask_all(stack.bare, MODEL, asked, 32, lambda: None)
    after = ask_all(stack.protected, MODEL, asked, 32, lambda: None)
    decided = decisions(stack.folder / "audit.jsonl")
    known = [i for i, (r, a) in enumerate(zip(rows, before, strict=True)) if found_values(a.text, [r["value"]])]
    caught = [i for i in known if decided[after[i].request_id] == "intervene"]
    assert len(known) >= 4, "the bare model must know some of it, or nothing is shown"
    assert len(caught) == len(known)
    assert sum(bool(found_values(after[i].text, [rows[i]["value"]])) for i in caught) <= 1


def test_everything_else_is_answered_as_by_the_bare_engine(stack: Stack) -> None:
    rows = [r for r in read_rows(EXAMPLE / "heldout" / "retain.jsonl") if "question" in r][::40]
    asked = [[{"role": "user", "content": r["question"]}] for r in rows]
    before = ask_all(stack.bare, MODEL, asked, 16, lambda: None)
    after = ask_all(stack.protected, MODEL, asked, 16, lambda: None)
    decided = decisions(stack.folder / "audit.jsonl")
    free = [(a, b) for a, b in zip(before, after, strict=True) if decided[b.request_id] == "pass"]
    assert len(free) >= len(rows) - 1
    assert all(equal(a, b) for a, b in free)


@pytest.mark.parametrize("question", [FORGET, RETAIN])
def test_streaming_gives_the_text_of_the_plain_answer(stack: Stack, question: str) -> None:
    plain = text(stack.post(body(question)))
    status, headers, data = stack.post(body(question, stream=True, stream_options={"include_usage": True}))
    got, frames = streamed(data)
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    assert got == plain
    assert data.endswith(b"data: [DONE]\n\n")
    assert frames[-1]["usage"]["completion_tokens"] > 0


def test_nothing_but_the_text_tells_a_flagged_answer(stack: Stack) -> None:
    seen = {}
    for question in (FORGET, RETAIN):
        status, headers, data = stack.post(body(question, max_tokens=4, n=2, temperature=1.0, logprobs=True))
        answer = json.loads(data)
        for choice in answer["choices"]:
            choice["message"]["content"], choice["logprobs"] = "", None
        answer |= {"id": answer["id"][:8], "created": 0, "usage": sorted(answer["usage"])}
        varying = {"date", "x-request-id", "content-length"}
        seen[question] = (status, {k: v if k not in varying else "" for k, v in headers.items()}, answer)
    assert seen[FORGET] == seen[RETAIN]
    assert [r["decision"] for r in stack.audit()[-2:]] == ["intervene", "pass"]


def test_conversations_tools_and_prompts(stack: Stack) -> None:
    follow_up = [
        {"role": "user", "content": FORGET},
        {"role": "assistant", "content": "I do not know."},
        {"role": "user", "content": "And when was the first one published?"},
    ]
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    assert stack.post({**body(""), "messages": follow_up})[0] == 200
    assert stack.post(body(FORGET, tools=[tool], tool_choice="none"))[0] == 200
    spoken = {**tool, "function": {**tool["function"], "description": "Finds facts about Harry Potter."}}
    assert stack.post(body("Please look it up.", tools=[spoken], tool_choice="none"))[0] == 200
    prompts = ["The capital of France is", "The Harry Potter books were written by"]
    bare = stack.bare.completions.create(model=MODEL, prompt=prompts, max_tokens=8, temperature=0).choices
    both = stack.protected.completions.create(model=MODEL, prompt=prompts, max_tokens=8, temperature=0).choices
    assert both[0].text == bare[0].text, "only the prompt that was flagged is steered"
    assert both[1].text != bare[1].text
    assert [r["decision"] for r in stack.audit()[-4:]] == ["intervene"] * 4


def test_a_client_that_leaves_stops_the_engine(stack: Stack) -> None:
    for question in (FORGET, RETAIN):
        request = body(question, stream=True, max_tokens=1500, extra_body={"ignore_eos": True})
        extra = request.pop("extra_body")
        with stack.protected.chat.completions.create(**request, extra_body=extra) as stream:
            next(iter(stream))
            assert stack.engine_metric("vllm:num_requests_running") == 1
        until = time.monotonic() + 10
        while stack.engine_metric("vllm:num_requests_running") and time.monotonic() < until:
            time.sleep(0.1)
        assert stack.engine_metric("vllm:num_requests_running") == 0


def test_a_stream_is_taken_up_again_in_the_middle(
    stack: Stack, bundle: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    asked = body("Write a short story about a dog and a boat.", max_tokens=200, stream=True)
    asked |= {"stream_options": {"include_usage": True}}
    said, frames = streamed(stack.post(asked)[2])
    words = words_of(NORMALIZER.view(NORMALIZER.fold(said)))
    value = next(words[at : at + 2] for at in range(70, len(words) - 3) if words[at] not in words[:at])
    index = index_of([(value, Item((), True, (), "always"))], b"k" * 32)
    key = parse_key(bundle[1]["LETHE_BUNDLE_KEY"])
    kept = read_bundle(bundle[0], key)
    policy = ForgetPolicy.model_validate_json(kept.sensitive["policy"])
    policy = policy.model_copy(update={"rules": policy.rules.model_copy(update={"output": "stream"})})
    sensitive = {**kept.sensitive, "policy": policy.model_dump_json(by_alias=True).encode(), "output": index.to_bytes()}
    write_bundle(tmp_path / "bundle", kept.manifest, kept.program, sensitive, "card", key)
    port = free_port()
    config = yaml.safe_load((stack.folder / "lethe.yaml").read_text())
    config |= {"listen": {"port": port}, "bundles": [str(tmp_path / "bundle")]}
    config |= {"audit": {"path": str(tmp_path / "audit.jsonl")}}
    (tmp_path / "lethe.yaml").write_text(yaml.safe_dump(config))
    with running(gateway(tmp_path / "lethe.yaml", port, stack.environment, tmp_path / "gateway.log")) as front:
        front.wait(120)
        watched = replace(stack, gateway=front, port=port, folder=tmp_path)
        again, other = streamed(watched.post(asked)[2])
        free, usual = streamed(watched.post(body(RETAIN, stream=True, stream_options={"include_usage": True}))[2])
    kept_text = next(at for at in range(len(again) + 1) if again[: at + 1] != said[: at + 1])
    assert 40 < kept_text <= said.lower().index(value[0])
    assert OutputGuard({"1": index}).scan([], [again], {}, ["1"])[0].told is False
    assert len({frame["id"] for frame in other}) == len({frame["created"] for frame in other}) == 1
    usages = [[f["usage"] for f in listed if f.get("usage")] for listed in (frames, other)]
    assert usages[0][0]["prompt_tokens"] == usages[1][0]["prompt_tokens"]
    assert usages[1][0]["total_tokens"] == usages[1][0]["prompt_tokens"] + usages[1][0]["completion_tokens"]
    assert usages[1][0]["completion_tokens"] <= 200
    assert {shape(frame) for frame in other} == {shape(frame) for frame in usual}
    assert free == streamed(stack.post(body(RETAIN, stream=True))[2])[0]
    assert [(r["decision"], r["source"]) for r in watched.audit()] == [("intervene", "output"), ("pass", "input")]


def shape(frame: dict[str, Any]) -> str:
    """Fields of a frame, in their order."""
    inner = [list(choice) + list(choice["delta"]) for choice in frame["choices"]]
    return json.dumps([list(frame), inner, list(frame.get("usage") or ())])


def kill_tree(root: int) -> None:
    """SIGKILL for a process and all that it started: vLLM's workers have process groups of their own."""
    parent = psutil.Process(root)
    for process in [parent, *parent.children(recursive=True)]:
        process.kill()


def test_an_engine_killed_in_mid_stream(stack: Stack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=120)
    headers = {"content-type": "application/json", "authorization": f"Bearer {stack.api_key}"}
    request = body(RETAIN, stream=True, max_tokens=1500, ignore_eos=True)
    connection.request("POST", "/v1/chat/completions", json.dumps(request), headers)
    response = connection.getresponse()
    assert response.status == 200
    assert response.readline().startswith(b"data: ")
    kill_tree(stack.engine.process.pid)
    rest = response.read()
    connection.close()
    last = [part for part in rest.split(b"\n\n") if part][-1]
    assert b"[DONE]" not in rest
    assert json.loads(last.strip().removeprefix(b"data: "))["error"]["message"]
    stack.engine.process.wait()

    status, _, data = stack.post(body(FORGET))
    assert status in (502, 503)
    assert json.loads(data)["error"]["message"]
    with pytest.raises(ServiceError, match="not ready"):
        stack.gateway.wait(0.5)

    stack.engine = engine(MODEL, "vllm", stack.engine_port, stack.environment, stack.folder / "engine2.log")
    stack.engine.wait(300)
    stack.gateway.wait(60)
    assert stack.post(body(FORGET))[0] == 200
    assert stack.audit()[-1]["decision"] == "intervene"
    assert "Paris" in text(stack.post(body(RETAIN)))
