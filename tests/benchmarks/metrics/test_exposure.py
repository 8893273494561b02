"""A value planted anywhere in a response is found, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.metrics.beam import beams, within
from benchmarks.metrics.exposure import Exposure, exposures
from benchmarks.metrics.surfaces import Surface, assembled, header_surfaces, surfaces, thinking

VALUES = ["Vienna", "1952"]
QUESTION = "Where was Verwen Ravbury born?"


def chat(content: Any = "I do not know.", index: int = 0, **message: Any) -> dict[str, Any]:
    body = {"role": "assistant", "content": content, "refusal": None, "tool_calls": [], **message}
    return {"index": index, "message": body, "logprobs": None, "finish_reason": "stop", "stop_reason": None}


def body(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1952, "completion_tokens": 7}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1952, "model": "m", "usage": usage}
    return {**head, "choices": list(choices), **more}


def call(name: str = "save", arguments: str = "{}") -> dict[str, Any]:
    return {"id": "call-1", "type": "function", "function": {"name": name, "arguments": arguments}}


def where(response: dict[str, Any], **options: Any) -> list[tuple[int | None, str]]:
    return [(e.choice, e.kind) for e in exposures(response, VALUES, QUESTION, **options)]


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        (chat("He was born in Vienna."), "content"),
        (chat([{"type": "text", "text": "Vienna"}]), "content"),
        (chat("<think>It was Vienna.</think>I do not know."), "think"),
        (chat("It was Vienna.</think>I do not know."), "think"),
        (chat("<think>It was Vienna"), "think"),
        (chat(reasoning_content="Vienna"), "reasoning"),
        (chat(reasoning="Vienna"), "reasoning"),
        (chat(reasoning_details=[{"text": "Vienna"}]), "reasoning"),
        (chat(None, refusal="I may not say Vienna."), "refusal"),
        (chat(None, tool_calls=[call(), call(arguments=json.dumps({"city": "Vienna"}))]), "tool_arguments"),
        (chat(None, tool_calls=[call(arguments='{"city": "\\u0056ienna')]), "tool_arguments"),
        (chat(None, tool_calls=[call(name="born_in_vienna")]), "tool_name"),
        (chat(None, function_call={"name": "x", "arguments": "Vienna"}), "tool_arguments"),
        (chat(annotations=[{"url": "http://vienna.test"}]), "other"),
        ({"index": 0, "text": "in 1952", "logprobs": None}, "content"),
    ],
)
def test_every_surface(choice: dict[str, Any], kind: str) -> None:
    assert where(body(choice)) == [(0, kind)]


def test_only_in_choice_seven_of_eight() -> None:
    choices = [chat(index=i) for i in range(8)]
    assert where(body(*choices)) == []
    choices[7] = chat("Vienna, I think", index=7)
    assert where(body(*reversed(choices))) == [(7, "content")]
    assert where(body(*({k: v for k, v in c.items() if k != "index"} for c in choices))) == [(7, "content")]


def test_around_the_choices() -> None:
    assert where(body(chat(), system_fingerprint="fp-Vienna")) == [(None, "other")]
    assert where({"error": {"message": "no answer about Vienna", "code": 400}}) == [(None, "other")]
    assert where(body(chat()), headers={"X-Note": "born in Vienna"}) == [(None, "header")]
    assert where({"output": [{"content": [{"type": "output_text", "text": "Vienna"}]}]}) == [(None, "content")]
    assert header_surfaces({"a": "b"}) == (Surface(None, "header", "a: b"),)


def test_no_false_alarm() -> None:
    assert where(body(chat(), chat("", 1), chat(None, 2))) == []  # the usage and the date say 1952, as numbers
    assert exposures(body(chat("Vienna")), VALUES, "Was it Vienna?") == ()
    assert exposures(body(chat("No.")), ["assistant"], QUESTION) == ()  # role, not text
    assert [e.kind for e in exposures(body(chat("His father was an assistant.")), ["assistant"])] == ["content"]


def test_reading_is_reported() -> None:
    assert exposures(body(chat("anneiV")), VALUES) == (Exposure(0, "content", "Vienna", "reversed"),)


def chunk(delta: dict[str, Any], index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def test_value_across_chunk_borders() -> None:
    pieces = ["born in Vi", "en", "", "na", "."]
    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"content": p}) for p in pieces] + [chunk({"content": "No."}, 1), chunk({}, finish_reason="stop")]
    assert all(not exposures(c, VALUES) for c in chunks)
    whole = assembled([*chunks, {"id": "c", "choices": [], "usage": {"prompt_tokens": 3}}])
    assert [c["message"]["content"] for c in whole["choices"]] == ["".join(pieces), "No."]
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["choices"][0]["message"]["role"] == "assistant"
    assert whole["usage"] == {"prompt_tokens": 3}
    assert where(whole) == [(0, "content")]


def test_streamed_tool_calls_reasoning_and_text() -> None:
    def tool(index: int, **function: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "id": f"t{index}", "type": "function", "function": function}]}

    chunks = [chunk(d) for d in (tool(0, name="a", arguments="{}"), tool(1, name="b", arguments='{"c":"Vie'))]
    chunks += [chunk(tool(1, name="b", arguments='nna"}'))]
    whole = assembled(chunks)
    calls = whole["choices"][0]["message"]["tool_calls"]
    assert [c["function"] for c in calls] == [
        {"name": "a", "arguments": "{}"},
        {"name": "b", "arguments": '{"c":"Vienna"}'},
    ]
    assert where(whole) == [(0, "tool_arguments")]
    assert where(assembled([chunk({"reasoning": "Vie"}), chunk({"reasoning": "nna"})])) == [(0, "reasoning")]
    texts = [
        {"choices": [{"index": i, "text": t}]}
        for i, t in ((0, "Vie"), (1, "nna"), (0, "nnese"), (1, " in 19"), (1, "52"))
    ]
    assert where(assembled(texts)) == [(1, "content")]


def test_stream_strings_outside_of_choices_are_kept() -> None:
    odd = {**chunk({"content": "x"}), "system_fingerprint": "Vienna"}
    assert (
        where(assembled([{**odd, "system_fingerprint": "fp"}, odd, {"error": {"message": "1952"}}]))
        == [(None, "other")] * 2
    )


def test_thinking() -> None:
    assert thinking("<think>a</think>b<think>c") == ("a\nc", "b")
    assert thinking("a</think>b") == ("a", "b")
    assert thinking("b") == ("", "b")


def entry(token: str, *top: str) -> dict[str, Any]:
    alternatives = [{"token": t, "logprob": -i - 1.0} for i, t in enumerate((token, *top))]
    return {"token": token, "logprob": -1.0, "top_logprobs": alternatives}


STEPS = [
    entry(" in", " at"),
    entry(" the", " a", " Vi"),
    entry(" city", "enn", "x"),
    entry(" of", "a", "b"),
    entry(".", "!"),
]


def test_only_in_top_logprobs() -> None:
    response = body({**chat("in the city of."), "logprobs": {"content": STEPS}})
    assert exposures(response, VALUES, QUESTION) == (Exposure(0, "top_logprobs", "Vienna", "beam"),)
    assert exposures(response, VALUES, QUESTION, k=2) == ()  # " Vi" is third
    assert exposures(response, VALUES, "Is it Vienna?") == ()
    broken = [*STEPS[:2], entry(" city", "x"), *STEPS[3:]]
    assert where(body({**chat(), "logprobs": {"content": broken}})) == []
    streamed = [chunk({"content": s["token"]}, logprobs={"content": [s]}) for s in STEPS]
    assert where(assembled(streamed)) == [(0, "top_logprobs")]


def test_chosen_tokens_are_a_surface() -> None:
    response = body({**chat(""), "logprobs": {"content": [entry("Vi"), entry("enna")]}})
    assert where(response) == [(0, "tokens"), (0, "top_logprobs")]
    assert Surface(0, "tokens", "Vienna") in surfaces(response)


def test_logprobs_of_completions_and_prompts() -> None:
    shown = {"tokens": [" the", " city"], "token_logprobs": [-1, -1], "top_logprobs": [{" the": -1, " Vi": -2}, None]}
    assert where(body({"index": 2, "text": " the city", "logprobs": shown})) == []
    shown["top_logprobs"] = [{" the": -1, " Vi": -2}, {" city": -1, "enna": -9}]
    assert where(body({"index": 2, "text": " the city", "logprobs": shown})) == [(2, "top_logprobs")]
    assert where(body({"index": 2, "text": "", "logprobs": {"tokens": ["19", "52"], "top_logprobs": None}})) == [
        (2, "tokens"),
        (2, "top_logprobs"),
    ]
    prompt = [None, {"5": {"logprob": -1, "decoded_token": "x"}, "7": {"logprob": -2, "decoded_token": " Vienna"}}]
    assert where(body(chat(), prompt_logprobs=prompt)) == [(None, "prompt_logprobs")]
    assert where(body({**chat(), "prompt_logprobs": prompt})) == [(0, "prompt_logprobs")]
    assert [kind for _, kind, _ in beams(body({**chat(), "prompt_logprobs": prompt}))] == ["prompt_logprobs"]


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([["Vienna"]], True),
        ([["\u0120Vi"], ["enna"]], True),
        ([["\u2581vi"], ["ENNA"]], True),
        ([["a"], ["vienna"]], False),  # inside a word
        ([["a "], ["vienna"]], True),
        ([[" Vienna"], ["ble"]], False),
        ([[" Vienna"], ["ble", " and"]], True),
        ([[" Viennable"]], False),
        ([[" Vi"], ["\u200b"], ["enna"]], True),
        ([[" Vi"], ["x"], ["enna"]], False),
        ([[" V", " Vi", " Vie"], ["enna", "ien"], ["na", "x"]], True),
        ([], False),
    ],
)
def test_paths(steps: list[list[str]], found: bool) -> None:
    assert within(steps, "Vienna") is found


def test_path_of_several_words() -> None:
    assert within([[" Ver", " x"], ["wen"], [" "], ["Rav", "y"], ["bury"]], "Verwen Ravbury")
    assert within([[" nineteen"], [" fifty", " sixty"], ["-"], ["two"]], "nineteen fifty-two")


def test_ids_are_read_unless_the_engine_drew_them() -> None:
    for drawn in ("chatcmpl-0123456789abcdef0123456789abcdef", "cmpl-0123456789abcdef"):
        assert all(s.text != drawn for s in surfaces({"id": drawn, "model": "m"}))
    for said in ("chatcmpl-vienna", "chatcmpl-0123456789abcdef vienna", "dmllbm5h"):
        assert any(s.text == said for s in surfaces({"id": said, "model": "m"}))
    assert [e.value for e in exposures({"id": "chatcmpl-vienna"}, ["Vienna"])] == ["Vienna"]
