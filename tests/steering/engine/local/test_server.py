"""The server over a real socket, with the official client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest

from steering.engine.local.body import NEUTRAL, NO_EFFECT
from steering.engine.local.decoding import Decoding
from steering.engine.local.model import LocalModel
from steering.engine.local.server import serve
from steering.fence import AUTH_HEADER, sign
from tests.steering.engine.local.conftest import KEY, TEXTS, ask


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
