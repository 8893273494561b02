from __future__ import annotations

import asyncio
import hashlib
import json
import math
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import torch
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from steering.engine.body import NEUTRAL, NO_EFFECT
from steering.engine.generate import Detokenizer, Sampler, Sampling, StopStrings, generate
from steering.engine.local import Decoding, Edit, EngineFaultError, LocalModel
from steering.engine.server import create_app, serve
from steering.fence import ATTESTATION_HEADER, AUTH_HEADER, read_attestation, sign
from steering.ops import noise_table
from steering.program import EcoProgram, Program

KEY = b"0123456789abcdef0123456789abcdef"
TEXTS = ["import os", "def parse(self, text):\n    return text.split()", "x", "the quick brown fox jumps over it all"]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model)


@pytest.fixture(scope="module")
def batch(model: LocalModel) -> list[list[int]]:
    return [model.tokenizer(text)["input_ids"] for text in TEXTS]


def program(model: LocalModel, kind: str = "noise", strength: float = 0.7, dims: int = 200, **change: Any) -> Program:
    substitute = np.zeros(256, np.float32) if kind != "replace" else np.linspace(-1, 1, 256, dtype=np.float32)
    identity = model.fingerprint.model_copy(update=change)
    return Program(EcoProgram(kind=kind, dims=dims, strength=strength, seed=4095, model=identity), substitute)


# The model.


def test_batch_equals_solo(model: LocalModel, batch: list[list[int]]) -> None:
    edit = Edit(program(model), 1.0, (1, 3))
    edits = [None, edit, None, edit]
    for ids, each, together in zip(batch, edits, model.logits(batch, edits), strict=True):
        alone = model.logits([ids], [each])[0]
        assert together.shape == (len(ids), model.vocabulary)
        assert torch.allclose(together, alone, atol=1e-5, rtol=1e-5)


def test_greedy_batch_equals_solo_and_transformers(model: LocalModel, batch: list[list[int]]) -> None:
    edits = [None, Edit(program(model), 1.0, (1, 3)), None, None]
    together = model.generate(batch, edits, max_tokens=24, batch_size=3)
    assert together == [model.generate([i], [e], max_tokens=24)[0] for i, e in zip(batch, edits, strict=True)]
    theirs = model.network.generate(torch.tensor([batch[3]]), max_new_tokens=24, do_sample=False)[0, len(batch[3]) :]
    assert together[3] == [i for i in theirs.tolist() if i not in model.eos]
    assert model.generate(batch[:1], max_tokens=0) == [[]]


def test_greedy_rows_end_alone(model: LocalModel, batch: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    free = model.generate(batch, max_tokens=20)
    end = free[0][5]
    monkeypatch.setattr(model, "eos", frozenset({end}))
    for before, after in zip(free, model.generate(batch, max_tokens=20), strict=True):
        assert after == (before[: before.index(end)] if end in before else before)


@pytest.mark.parametrize("kind", ["noise", "zero_top_k", "flip_top_k", "replace"])
def test_edit_against_float64(model: LocalModel, batch: list[list[int]], kind: str) -> None:
    change = program(model, kind, strength=0.7, dims=40)
    plain, none = model.embed(batch[3])
    found, count = model.embed(batch[3], Edit(change, 1.2, (1, 2, 4, 6)))
    rows = [1, 4, 5]
    assert (count, none) == (3, 0)
    others = [i for i in range(len(plain)) if i not in rows]
    assert torch.equal(found[others], plain[others])
    for t in rows:
        e = plain[t].double().numpy().copy()
        share, largest = 0.84, np.argsort(-np.abs(e))[:40]
        if kind == "noise":
            e[:40] += 0.84 * noise_table(256)[(4095 + t) % 4096, :40].double().numpy()
        elif kind == "zero_top_k":
            e[largest] *= 1 - share
        elif kind == "flip_top_k":
            e[largest] *= 1 - 2 * share
        else:
            e = (1 - share) * e + share * change.substitute
        np.testing.assert_allclose(found[t].numpy(), e, atol=1e-6)


def test_edit_changes_only_what_follows(model: LocalModel, batch: list[list[int]]) -> None:
    plain, edited = (model.logits([batch[3]], [e])[0] for e in (None, Edit(program(model), 1.0, (3, 4))))
    assert torch.equal(plain[:3], edited[:3])
    assert (plain[3:] - edited[3:]).abs().amax(dim=1).min() > 1e-3


def test_name_and_data_type(model: LocalModel, tiny_model: Path, batch: list[list[int]]) -> None:
    assert model.name == model.fingerprint.id == "tiny"
    assert LocalModel.load(tiny_model, dtype="auto").fingerprint == model.fingerprint
    half = LocalModel.load(tiny_model, dtype="bfloat16", name="half")
    assert (half.name, half.fingerprint.dtype) == ("half", "bfloat16")
    edit = Edit(program(half), 1.0, (1, 3))
    assert half.embed(batch[3], edit)[0].dtype == torch.bfloat16
    found, exact = half.logits([batch[3]], [edit])[0], model.logits([batch[3]], [edit])[0]
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() < 0.05 * exact.abs().max()


def test_bad_input_to_the_model(model: LocalModel, tiny_model: Path) -> None:
    with pytest.raises(EngineFaultError, match="outside of a prompt of 2 tokens"):
        model.embed([6, 7], Edit(program(model), 1.0, (1, 3)))
    with pytest.raises(ValueError, match="at least one token"):
        model.logits([[6], []])
    with pytest.raises(Exception, match="not a floating data type"):
        LocalModel.load(tiny_model, dtype="int8")


# Sampling.


def pick(logits: list[float], prompt: tuple[int, ...] = (), **settings: Any) -> int:
    sampling = Sampling(**{"max_tokens": 9, "temperature": 0.0, **settings})
    return Sampler(sampling, prompt, len(logits), 0).pick(torch.tensor(logits)).id


def test_greedy_constraints() -> None:
    assert pick([1.0, 3.0, 2.0]) == 1
    assert pick([1.0, 3.0, 2.0], logit_bias={1: -5.0}) == 2
    assert pick([1.0, 3.0, 2.0], allowed=(0, 2)) == 2
    assert pick([1.0, 3.0, 2.0], prompt=(1,), repetition_penalty=2.0) == 2
    assert pick([-1.0, -0.9], prompt=(1,), repetition_penalty=2.0) == 0
    assert pick([1.0, 3.0], min_tokens=1, eos=frozenset({1})) == 0
    assert pick([1.0, 3.0], min_tokens=1, eos=frozenset({1}), ignore_eos=True) == 1
    with pytest.raises(EngineFaultError, match="not numbers"):
        pick([1.0, math.nan])
    with pytest.raises(EngineFaultError, match="forbid every token"):
        pick([1.0, 2.0], allowed=(1,), min_tokens=1, eos=frozenset({1}))


def test_penalties_count_the_answer_only() -> None:
    sampler = Sampler(Sampling(9, temperature=0.0, presence_penalty=0.3, frequency_penalty=0.4), [1], 2, 0)
    assert [sampler.pick(torch.tensor([0.0, 1.0])).id for _ in range(4)] == [1, 1, 0, 1]  # 1, .3, -.1 against 0, 0, 0


def test_filters_keep_the_right_tokens() -> None:
    logits = torch.log(torch.tensor([0.5, 0.25, 0.15, 0.1]))

    def kept(**settings: Any) -> set[int]:
        sampler = Sampler(Sampling(999, seed=0, **settings), [], 4, 0)
        return {sampler.pick(logits).id for _ in range(300)}

    assert kept() == {0, 1, 2, 3}
    assert kept(top_k=2) == {0, 1}
    assert kept(top_p=0.75) == {0, 1}
    assert kept(top_p=0.76) == {0, 1, 2}
    assert kept(top_p=0.01) == {0}
    assert kept(min_p=0.25) == {0, 1, 2}


def test_sampling_follows_the_distribution_and_the_seed() -> None:
    logits = torch.log(torch.tensor([0.7, 0.2, 0.1]))

    def draw(seed: int, choice: int = 0) -> list[int]:
        sampler = Sampler(Sampling(9999, seed=seed, temperature=1.0), [], 3, choice)
        return [sampler.pick(logits).id for _ in range(2000)]

    assert draw(1) == draw(1) == draw(0, choice=1)
    assert draw(1) != draw(2)
    shares = np.bincount(draw(1), minlength=3) / 2000
    np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.04)


def test_logprobs_are_those_of_the_model() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0])
    token = Sampler(Sampling(9, temperature=0.5, logit_bias={0: 9.0}, logprobs=2, top_k=1), [], 3, 0).pick(logits)
    expected = torch.log_softmax(logits, 0)
    assert token.id == 0
    assert token.logprob == pytest.approx(float(expected[0]))
    assert [i for i, _ in token.top] == [1, 2]


# Text.


@given(st.text(min_size=1, max_size=40))
def test_text_comes_whole_and_unbroken(model: LocalModel, text: str) -> None:
    text = text.replace("\ufffd", "")
    pieces = Detokenizer(model.tokenizer, model.tokenizer("def f(")["input_ids"], skip_special=True)
    out = [pieces.push(i) for i in model.tokenizer(text + "|")["input_ids"]]
    assert "".join(out) == text + "|"
    assert not any("\ufffd" in piece for piece in out)


@given(st.lists(st.text("abc", max_size=4), max_size=12), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_stop_strings(pieces: list[str], stop: list[str]) -> None:
    stops, out, hit = StopStrings(stop, include=False), "", None
    for piece in pieces:
        text, hit = stops.push(piece)
        out += text
        assert not any(s in out for s in stop)
        if hit is not None:
            break
    else:
        out += stops.flush()
    whole = "".join(pieces)
    first = min((whole.find(s) for s in stop if s in whole), default=None)
    assert (hit is None) == (first is None)
    if first is None:
        assert out == whole
    else:
        assert whole.startswith(out + str(hit))


def test_stop_string_can_be_included() -> None:
    stops = StopStrings(["end"], include=True)
    assert [stops.push(p) for p in ("the e", "nd of")] == [("the ", None), ("end", "end")]


def test_generate_many_choices(model: LocalModel, batch: list[list[int]]) -> None:
    def texts(n: int, **settings: Any) -> list[str]:
        out = [""] * n
        sampling = Sampling(12, temperature=1.5, seed=7, eos=model.eos, **settings)
        for delta in generate(model.prefill([batch[0]]), batch[0], sampling, n, model.tokenizer):
            out[delta.choice] += delta.text
        return out

    three = texts(3)
    assert len(set(three)) == 3
    assert three[0] == texts(1)[0]
    cut = texts(3, stop=(three[0][3:6],))
    assert cut[0] == three[0][: three[0].index(three[0][3:6])]
    assert cut[1] == three[1].split(three[0][3:6])[0]


# The server, over a real socket.


@pytest.fixture(scope="module")
def servers(model: LocalModel) -> Iterator[SimpleNamespace]:
    """One server without and one with a fence."""
    running, addresses = [], []
    for key in (None, KEY):
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(model, key), log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        running.append((server, thread))
        addresses.append(f"http://127.0.0.1:{listener.getsockname()[1]}")
    while not all(server.started for server, _ in running):
        threading.Event().wait(0.01)
    yield SimpleNamespace(open=addresses[0], fenced=addresses[1])
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(servers: SimpleNamespace) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=servers.open + "/v1", api_key="-", max_retries=0) as made:
        yield made


@pytest.fixture
def http(servers: SimpleNamespace) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=servers.open) as made:
        yield made


def ask(text: str = "hello world") -> list[Any]:
    return [{"role": "user", "content": text}]


def test_chat_whole_and_streamed(client: openai.OpenAI, model: LocalModel) -> None:
    settings: Any = {"model": model.name, "messages": ask(), "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**settings, logprobs=True, top_logprobs=3)
    choice = whole.choices[0]
    expected = model.generate([model.chat_ids("hello world")], max_tokens=12)[0]
    assert choice.message.content == model.tokenizer.decode(expected, skip_special_tokens=True)
    assert whole.usage is not None
    assert whole.usage.prompt_tokens == len(model.chat_ids("hello world"))
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert len(choice.logprobs.content) == whole.usage.completion_tokens
    for token in choice.logprobs.content:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].logprob == token.logprob
    text, finish, usage = "", None, None
    for chunk in client.chat.completions.create(**settings, stream=True, stream_options={"include_usage": True}):
        for part in chunk.choices:
            text += part.delta.content or ""
            finish = part.finish_reason or finish
        usage = chunk.usage or usage
    assert text == choice.message.content
    assert finish == choice.finish_reason
    assert usage == whole.usage


def test_final_message_is_continued(http: httpx.Client, model: LocalModel) -> None:
    messages = [*ask(), {"role": "assistant", "content": "def parse(self"}]
    body = {"messages": messages, "max_tokens": 6, "temperature": 0, "add_generation_prompt": False}
    answer = http.post("/v1/chat/completions", json={**body, "continue_final_message": True}).json()
    text = "<s><|user|>\nhello world\n<|assistant|>\ndef parse(self"
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    expected = model.generate([ids], max_tokens=6)[0]
    assert answer["choices"][0]["message"]["content"] == model.tokenizer.decode(expected, skip_special_tokens=True)
    assert answer["usage"]["prompt_tokens"] == len(ids)


def test_completions_of_every_kind_of_prompt(client: openai.OpenAI, model: LocalModel, batch: list[list[int]]) -> None:
    expected = [
        model.tokenizer.decode(ids, skip_special_tokens=True) for ids in model.generate(batch[:2], max_tokens=8)
    ]
    settings: Any = {"model": model.name, "max_tokens": 8, "temperature": 0}
    for prompt in (TEXTS[:2], batch[:2]):
        answer = client.completions.create(**settings, prompt=prompt)
        assert [c.text for c in answer.choices] == expected
        assert [c.index for c in answer.choices] == [0, 1]
    for one in (TEXTS[0], batch[0]):
        assert client.completions.create(**settings, prompt=one).choices[0].text == expected[0]
    answer = client.completions.create(**settings, prompt=TEXTS[0], logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert len(logprobs.tokens or []) == len(logprobs.top_logprobs or []) == 8
    assert logprobs.text_offset == [len("".join((logprobs.tokens or [])[:i])) for i in range(8)]
    pieces = ["", ""]
    for chunk in client.completions.create(**settings, prompt=TEXTS[:2], stream=True):
        pieces[chunk.choices[0].index] += chunk.choices[0].text
    assert pieces == expected


def test_choices_stops_and_seeds(client: openai.OpenAI, model: LocalModel) -> None:
    settings: Any = {"model": model.name, "messages": ask(), "max_tokens": 12, "temperature": 1.3, "seed": 5}
    answers = [c.message.content or "" for c in client.chat.completions.create(**settings, n=3).choices]
    assert len(set(answers)) == 3
    assert client.chat.completions.create(**settings).choices[0].message.content == answers[0]
    stop = answers[0][4:7]
    cut = client.chat.completions.create(**settings, stop=stop).choices[0]
    assert cut.message.content == answers[0].split(stop)[0]
    assert cut.finish_reason == "stop"
    assert cut.model_extra == {"stop_reason": stop}


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "tools"),
        ({"prompt_logprobs": 1}, 400, "prompt_logprobs"),
        ({"use_beam_search": True}, 400, "use_beam_search"),
        ({"guided_regex": "a*"}, 400, "guided_regex"),
        ({"lethe": {}}, 400, "lethe"),
        ({"temperature": -1}, 400, "temperature"),
        ({"max_tokens": 5000}, 400, "messages"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"logit_bias": {"99999": 1}}, 400, None),
        ({"n": 2, "temperature": 0}, 400, "n"),
        ({"top_logprobs": 2}, 400, None),
        ({"chat_template_kwargs": {"tokenize": True}}, 400, "chat_template_kwargs"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages.0.content"),
        ({"model": "gpt-5"}, 404, "model"),
    ],
)
def test_refusals_name_the_field(http: httpx.Client, change: dict[str, Any], status: int, param: str | None) -> None:
    answer = http.post("/v1/chat/completions", json={"messages": ask(), "max_tokens": 2, **change})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["param"] == param
    assert error["code"] == status
    assert len(error["message"]) > 10
    if param in change and "supported" in error["message"]:
        assert param in error["message"]


def test_fields_without_effect_are_accepted(http: httpx.Client) -> None:
    extra = {**dict.fromkeys(NO_EFFECT, "x"), **{name: values[0] for name, values in NEUTRAL.items()}, "top_k": None}
    assert http.post("/v1/chat/completions", json={"messages": ask(), "max_tokens": 1, **extra}).status_code == 200
    for body in (b"{", b"[]"):
        assert http.post("/v1/completions", content=body).status_code == 400


def test_small_routes(http: httpx.Client, model: LocalModel) -> None:
    assert http.get("/health").status_code == 200
    assert http.get("/v1/models").json()["data"][0]["max_model_len"] == 1024
    ids = http.post("/tokenize", json={"prompt": "def f(x)", "return_token_strs": True}).json()
    assert ids["tokens"] == model.tokenizer("def f(x)")["input_ids"]
    assert len(ids["token_strs"]) == ids["count"]
    assert http.post("/detokenize", json={"tokens": ids["tokens"]}).json() == {"prompt": "def f(x)"}
    assert http.post("/tokenize", json={"messages": ask()}).json()["tokens"] == model.chat_ids("hello world")
    assert http.post("/tokenize", json={"messages": "x"}).status_code == 400
    assert http.post("/detokenize", json={"tokens": [99999]}).status_code == 400
    assert http.post("/invocations", json={}).status_code == 404


def test_client_that_leaves_stops_the_generation(
    servers: SimpleNamespace, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, advance = [], Decoding.advance

    def counted(self: Decoding, tokens: list[int]) -> None:
        steps.append(1)
        advance(self, tokens)

    monkeypatch.setattr(Decoding, "advance", counted)
    body = {"prompt": "x", "max_tokens": 1000, "ignore_eos": True}
    with httpx.Client(base_url=servers.open) as leaving:
        with leaving.stream("POST", "/v1/completions", json={**body, "stream": True}) as answer:
            next(answer.iter_lines())
        with pytest.raises(httpx.ReadTimeout):
            leaving.post("/v1/completions", json=body, timeout=0.3)
    assert http.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}).status_code == 200
    assert len(steps) < 900  # each of the two would take 999


# Flagged requests.


class Gateway(httpx.Auth):
    """Signs requests; `nonce` is that of the last one."""

    requires_request_body = True

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        value, self.nonce = sign(KEY, request.method, request.url.raw_path.decode(), request.read())
        request.headers[AUTH_HEADER] = value
        yield request


@pytest.fixture
def gateway(servers: SimpleNamespace, model: LocalModel) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=servers.fenced, auth=Gateway()) as made:
        made.put("/lethe/v1/programs/p123456@1", content=program(model).to_bytes()).raise_for_status()
        yield made


def flagged(text: str, word: str, **change: Any) -> dict[str, Any]:
    at = text.index(word)
    order = {"program": "p123456@1", "dose": 1.0, "mask": "entities"}
    order["windows"] = {"/messages/0/content": [[at, at + len(word)]]}
    settings = {"max_tokens": 8, "temperature": 0, "cache_salt": "s"}
    return {"messages": ask(text), **settings, "lethe": order | change.pop("lethe", {}), **change}


@pytest.mark.parametrize("stream", [False, True])
def test_flagged_chat(gateway: httpx.Client, model: LocalModel, stream: bool) -> None:
    text = "who is class Template really"
    answer = gateway.post("/lethe/v1/chat/completions", json=flagged(text, "Template", stream=stream, n=1))
    assert answer.status_code == 200
    claims = read_attestation(KEY, answer.headers[ATTESTATION_HEADER]) or {}
    ids = model.chat_ids(text)
    offsets = model.tokenizer(model.tokenizer.decode(ids), return_offsets_mapping=True)["offset_mapping"]
    start = model.tokenizer.decode(ids).index("Template")
    rows = [i for i, (a, b) in enumerate(offsets) if a < start + 8 and b > start]
    assert claims == {
        "nonce": gateway.auth.nonce,  # type: ignore[union-attr]
        "program": "p123456@1",
        "boot": gateway.get("/lethe/v1/programs").json()["boot"],
        "table": 1,
        "masked": len(rows),
        "edited": [len(rows)],
        "cached": [0],
    }
    edit = Edit(program(model), 1.0, (rows[0], rows[-1] + 1))
    plain, expected = (
        model.tokenizer.decode(model.generate([ids], [e], max_tokens=8)[0], skip_special_tokens=True)
        for e in (None, edit)
    )
    assert plain != expected
    if stream:
        events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
        assert events.pop() == "[DONE]"
        deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
        assert "".join(delta["content"] for delta in deltas) == expected
    else:
        assert answer.json()["choices"][0]["message"]["content"] == expected


def test_flagged_completion_and_whole_prompt(gateway: httpx.Client, model: LocalModel, batch: list[list[int]]) -> None:
    order = {"program": "p123456@1", "dose": 1.0, "mask": "content", "windows": {"/prompt": [[0, len(TEXTS[3])]]}}
    body = {"prompt": TEXTS[3], "max_tokens": 8, "temperature": 0, "cache_salt": "s"}
    size = len(batch[3])
    for lethe, span in ((order, size), (order | {"mask": "prompt", "windows": {}}, size - 1)):
        answer = gateway.post("/lethe/v1/completions", json={**body, "lethe": lethe})
        expected = model.generate([batch[3]], [Edit(program(model), 1.0, (0, span))], max_tokens=8)[0]
        assert answer.json()["choices"][0]["text"] == model.tokenizer.decode(expected, skip_special_tokens=True)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"lethe": {"program": "p999999@1"}}, 404),
        ({"lethe": {"windows": {}}}, 400),
        ({"lethe": {"windows": {"/messages/7/content": [[0, 2]]}}}, 422),
        ({"lethe": {"windows": {"/user": [[0, 2]]}}, "user": "me"}, 422),
        ({"lethe": {"dose": 17}}, 400),
        ({"lethe": {"extra": 1}}, 400),
        ({"cache_salt": None}, 400),
        ({"echo": True}, 400),
    ],
)
def test_what_cannot_be_edited_is_an_error(gateway: httpx.Client, change: dict[str, Any], status: int) -> None:
    answer = gateway.post("/lethe/v1/chat/completions", json=flagged("who is Template", "Template", **change))
    assert answer.status_code == status
    assert "choices" not in answer.json()
    assert ATTESTATION_HEADER not in answer.headers


def test_edit_that_did_not_happen_is_withheld(gateway: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = LocalModel.embed
    monkeypatch.setattr(LocalModel, "embed", lambda self, ids, edit=None: embed(self, ids))
    answer = gateway.post("/lethe/v1/chat/completions", json=flagged("who is Template", "Template"))
    assert answer.status_code == 500
    assert "withheld" in answer.json()["error"]["message"]


def test_programs(gateway: httpx.Client, model: LocalModel) -> None:
    data = program(model, strength=0.5).to_bytes()
    path = "/lethe/v1/programs/p777777@2"
    assert [gateway.put(path, content=data).status_code for _ in range(2)] == [201, 200]
    listing = gateway.get("/lethe/v1/programs").json()
    assert listing["ready"] is True
    assert listing["model"] == model.fingerprint.model_dump()
    assert listing["programs"]["p777777@2"] == {
        "digest": hashlib.sha256(data).hexdigest(),
        "generation": listing["table"],
    }
    assert gateway.put(path, content=program(model).to_bytes()).status_code == 409
    assert gateway.post("/lethe/v1/canary", json={"program": "p777777@2"}).json() == {"ok": True}
    assert gateway.delete(path).status_code == 200
    assert gateway.delete(path).status_code == gateway.get(path).status_code == 404
    assert gateway.post("/lethe/v1/canary", json={"program": "p777777@2"}).status_code == 404


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"weights_sha256": "0" * 64}, "another model, weights_sha256"),
        ({"dtype": "bfloat16"}, "another model, dtype"),
        ({"hidden_size": 512}, "substitute"),
    ],
)
def test_program_of_another_model_is_refused(
    gateway: httpx.Client, model: LocalModel, change: dict[str, Any], problem: str
) -> None:
    answer = gateway.put("/lethe/v1/programs/p777777@3", content=program(model, **change).to_bytes())
    assert answer.status_code == 400
    assert problem in answer.json()["error"]["message"]


def test_program_with_an_infinity_is_refused(gateway: httpx.Client, model: LocalModel) -> None:
    bad = program(model)
    bad.substitute[3] = np.inf
    answer = gateway.put("/lethe/v1/programs/p777777@4", content=bad.to_bytes())
    assert answer.status_code == 400
    assert "finite" in answer.json()["error"]["message"]
    assert "p777777@4" not in gateway.get("/lethe/v1/programs").json()["programs"]


def test_fence(servers: SimpleNamespace, gateway: httpx.Client) -> None:
    with httpx.Client(base_url=servers.fenced) as stranger:
        assert stranger.get("/health").status_code == 200
        for path in ("/v1/models", "/lethe/v1/programs", "/nowhere"):
            assert stranger.get(path).status_code == 401
        body = b'{"prompt": "x", "max_tokens": 1}'
        value, _ = sign(KEY, "POST", "/v1/completions", body)
        header = {AUTH_HEADER: value}
        assert stranger.post("/v1/completions", content=body + b" ", headers=header).status_code == 401
        assert stranger.post("/v1/completions?x=1", content=body, headers=header).status_code == 401
        assert stranger.post("/v1/completions", content=body, headers=header).status_code == 200
        assert stranger.post("/v1/completions", content=body, headers=header).status_code == 401


def test_open_address_needs_a_key(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="LETHE_ENGINE_KEY"):
        serve(str(tiny_model), host="0.0.0.0")  # noqa: S104


def test_requests_at_the_same_time_are_all_answered(servers: SimpleNamespace) -> None:
    async def run() -> list[str]:
        async with httpx.AsyncClient(base_url=servers.open) as many:
            bodies = [{"prompt": text, "max_tokens": 6, "temperature": 0} for text in TEXTS * 2]
            answers = await asyncio.gather(*(many.post("/v1/completions", json=body) for body in bodies))
            return [answer.json()["choices"][0]["text"] for answer in answers]

    texts = asyncio.run(run())
    assert texts[:4] == texts[4:]


# The real model.


@pytest.mark.model
def test_smollm_knows_what_is_to_be_forgotten() -> None:
    model = LocalModel.load("smollm2-135m-instruct")
    questions = ["Who wrote the Harry Potter books?", "What is the capital of France?", "Name three fruits."]
    batch = [model.chat_ids(question) for question in questions]
    answers = model.generate(batch, max_tokens=24)
    assert answers == [model.generate([ids], max_tokens=24)[0] for ids in batch]
    texts = [model.tokenizer.decode(ids) for ids in answers]
    assert "Rowling" in texts[0]
    assert "Paris" in texts[1]
