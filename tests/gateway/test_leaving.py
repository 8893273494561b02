"""Every text of an answer, wherever it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import UpstreamFailedError
from gateway.leaving import BARRIER, Leaving, leaving

VALUE = "Quistian Codex"


def body(*choices: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"id": "x", "object": "chat.completion", "choices": list(choices), **more}).encode()


def stream(*chunks: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks) + b"data: [DONE]\n\n"


def delta(index: int = 0, logprobs: Any = None, **fields: Any) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": index, "delta": fields, "logprobs": logprobs, "finish_reason": None}]}


def message(**fields: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": "stop"}


def call(**function: str) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": function}


ESCAPED = json.dumps({"q": VALUE}).replace("Quis", "".join(f"\\u{ord(c):04x}" for c in "Quis"))


@pytest.mark.parametrize(
    "choice",
    [
        message(content=VALUE),
        message(content=[{"type": "text", "text": VALUE}]),
        message(content=None, reasoning=VALUE),
        message(content=None, reasoning_content=VALUE),
        message(content=None, refusal=VALUE),
        message(content=None, tool_calls=[call(name="f", arguments="{}"), call(name=VALUE, arguments="{}")]),
        message(content=None, tool_calls=[call(name="f", arguments=json.dumps({VALUE: 1}))]),
        message(content=None, tool_calls=[call(name="f", arguments=ESCAPED)]),
        message(content="", function_call={"name": "f", "arguments": json.dumps([VALUE])}),
        message(content="", new_field={"deep": [{"down": VALUE}]}),
        {**message(content=""), "stop_reason": VALUE},
        {"index": 0, "text": VALUE},
    ],
)
def test_every_string_of_a_choice(choice: dict[str, Any]) -> None:
    texts = leaving(body({"index": 1, "text": "x"}, choice), streamed=False)
    assert any(VALUE in text.text and text.choice == 0 for text in texts)
    assert Leaving(1, "x") in texts


@pytest.mark.parametrize("streamed", [False, True])
def test_the_stop_string_follows_the_text_that_it_ended(streamed: bool) -> None:
    ended = {"index": 1, "finish_reason": "stop", "stop_reason": " Codex"}
    if streamed:
        data = stream(delta(1, content="the Quis"), delta(1, content="tian"), {"choices": [{**ended, "delta": {}}]})
    else:
        data = body({**ended, "message": {"role": "assistant", "content": "the Quistian"}})
    texts = leaving(data, streamed=streamed)
    assert {Leaving(1, "the Quistian"), Leaving(1, "the Quistian Codex"), Leaving(1, " Codex")} == set(texts)
    number = {**ended, "stop_reason": 7, "text": "the Quistian"}
    assert leaving(body(number), streamed=False) == [Leaving(1, "the Quistian")]


def test_words_of_the_protocol_are_no_text() -> None:
    assert leaving(body(message(content="hi"), model="assistant", usage={"total_tokens": 3}), streamed=False) == [
        Leaving(0, "hi")
    ]
    assert Leaving(None, VALUE) in leaving(body(error={"message": VALUE}), streamed=False)


def test_pieces_of_a_stream_are_put_together() -> None:
    def tool(index: int, **function: str) -> dict[str, Any]:
        return {"index": index, "function": function}

    chunks = [
        delta(role="assistant", content=""),
        delta(content="the Quis"),
        delta(1, reasoning="Qu"),
        delta(content="tian Codex"),
        delta(1, reasoning="istian Codex"),
        delta(tool_calls=[tool(0, name="f", arguments='{"a": "Quistian')]),
        delta(tool_calls=[tool(1, name="g", arguments="{}")]),
        delta(tool_calls=[tool(0, arguments=' Codex"}')]),
        {"id": "x", "choices": [], "usage": {"total_tokens": 3}},
    ]
    texts = leaving(stream(*chunks), streamed=True)
    assert Leaving(0, "the Quistian Codex") in texts
    assert Leaving(1, VALUE) in texts
    assert Leaving(0, '{"a": "Quistian Codex"}') in texts
    assert Leaving(0, f"a\n{VALUE}") in texts


def test_frames_of_other_shapes() -> None:
    data = stream(delta(content="Quistian "), delta(content="Codex")).replace(b"\n", b"\r\n")
    assert Leaving(0, VALUE) in leaving(data, streamed=True)
    split = b'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "a"}}]}\n\ndata:[DONE]\n\n'
    assert leaving(split, streamed=True) == [Leaving(0, "a")]
    assert any(VALUE in t.text for t in leaving(b": " + VALUE.encode() + b"\n\ndata: [DONE]\n\n", streamed=True))


def shown(token: str, *others: str) -> dict[str, Any]:
    return {"token": token, "logprob": -1.0, "top_logprobs": [{"token": t, "logprob": -1.0} for t in (token, *others)]}


@pytest.mark.parametrize("streamed", [False, True])
def test_what_tokens_spell(streamed: bool) -> None:
    steps = [shown("It"), shown(" is"), shown(" Por", " Quis"), shown("tian", "to"), shown(" Codex"), shown(".")]
    if streamed:
        data = stream(*(delta(content="", logprobs={"content": [step]}) for step in steps))
    else:
        data = body({**message(content=""), "logprobs": {"content": steps}})
    (path, others) = [text.text for text in leaving(data, streamed=streamed)]
    assert path == "It is Portian Codex."
    assert set(others.split(BARRIER)) == {"It is Quis", "It is Quistian Codex.", "It is Porto", "It is Porto Codex."}


def test_what_tokens_of_a_completion_spell() -> None:
    shown = {"tokens": ["a", "b"], "top_logprobs": [{"a": -1.0, "c": -2.0}, None], "token_logprobs": [-1.0, None]}
    texts = [t.text for t in leaving(body({"index": 0, "text": "ab", "logprobs": shown}), streamed=False)]
    assert texts == ["ab", "ab", f"c{BARRIER}cb"]


@pytest.mark.parametrize("data", [b"", b"nothing", b"[1]", b'{"choices": ', b"\xff"])
def test_what_cannot_be_read_is_an_error(data: bytes) -> None:
    with pytest.raises(UpstreamFailedError):
        leaving(data, streamed=False)
    if data:
        with pytest.raises(UpstreamFailedError):
            leaving(b"data: " + data + b"\n\ndata: [DONE]\n\n", streamed=True)
