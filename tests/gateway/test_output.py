"""Answers that tell what is forgotten, end to end against a scripted engine with the real output guard."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.audit import verify
from gateway.conversation import Conversation
from gateway.look import look
from gateway.withheld import Withheld
from guards.finding import Finding
from guards.verdict import Span, TextPart, Verdict, joined
from steering.bundle import BundleError
from tests.gateway.conftest import WordGuard, settings, until
from tests.gateway.upstream import CHAT, DONE, MODEL, Engine, Handler, chunk, reply, stream
from tests.gateway.watched import ASKED, BARE, FLAGGED, REFUSED, BundleMaker, gateway, order


def says(text: str, index: int = 0) -> Handler:
    choice = {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return reply({"id": "chatcmpl-1", "model": MODEL, "choices": [choice], "usage": {"total_tokens": 7}})


def streams(*pieces: str) -> Handler:
    return stream(*map(chunk, pieces), DONE)


async def test_an_answer_that_tells_nothing_leaves_byte_by_byte(engine: Engine, watched: BundleMaker) -> None:
    pieces = [b": comment\n\n", chunk("Lis")[:10], chunk("Lis")[10:] + chunk("ten"), b"data: {}\r\n\r\n", DONE]
    async with gateway(engine, watched()) as client:
        answer = await client.chat(ASKED)
        assert answer.body == CHAT
        assert set(answer.headers) == {"date", "content-type", "content-length", "x-request-id"}
        engine.routes[f"POST {BARE}"] = stream(*pieces)
        streamed = await client.chat(ASKED, stream=True)
        assert streamed.body == b"".join(pieces)
        fields = {"date", "content-type", "cache-control", "x-accel-buffering", "x-request-id", "transfer-encoding"}
        assert set(streamed.headers) == fields
    assert engine.of(FLAGGED) == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_that_tells_is_asked_for_again(engine: Engine, watched: BundleMaker, streamed: bool) -> None:
    engine.routes[f"POST {BARE}"] = streams("in Lis", "bon.") if streamed else says("in Lisbon.")
    engine.flagged = streams("some", "where") if streamed else says("somewhere")
    async with gateway(engine, watched()) as client:
        system = {"role": "system", "content": " Be brief. "}
        body = {"model": MODEL, "messages": [system, {"role": "user", "content": ASKED}], "stream": streamed}
        answer = await client.post(BARE, body)
        other = await client.chat("hello wizard", stream=streamed)
    assert answer.status == 200
    assert b"Lisbon" not in answer.body
    assert answer.body == other.body
    for headers in (answer.headers, other.headers):
        assert len(headers.pop("x-request-id")) == 32
        headers.pop("date")
    assert answer.headers == other.headers
    assert len(engine.of(BARE)) == 1
    windows = {"/messages/0/content": [[1, 10]], "/messages/1/content": [[0, len(ASKED)]]}
    assert order(engine) == {"program": "p100001@1", "dose": 1.0, "mask": "content", "windows": windows}
    assert engine.of(FLAGGED)[0].json["cache_salt"] != engine.of(BARE)[0].json["cache_salt"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_second_answer_that_tells_ends_like_a_refusal(
    engine: Engine, watched: BundleMaker, streamed: bool
) -> None:
    engine.routes[f"POST {BARE}"] = engine.flagged = streams("Lisbon") if streamed else says("Lisbon")
    async with gateway(engine, watched()) as client:
        answer = await client.chat(ASKED, stream=streamed)
    assert answer.status == 200
    assert b"Lisbon" not in answer.body
    assert REFUSED.encode() in answer.body
    assert len(engine.of(FLAGGED)) == 1


async def test_flagged_answers_are_looked_at_too(engine: Engine, watched: BundleMaker) -> None:
    engine.flagged = says("the Quistian Codex")
    async with gateway(engine, watched()) as client:
        answer = await client.chat("a wizard")
        assert REFUSED in answer.body.decode()
        assert [order(engine, at)["mask"] for at in (0, 1)] == ["entities", "content"]
        # the whole prompt was masked already: the same order would bring the same answer
        named = {"model": MODEL, "messages": [{"role": "user", "name": "wizard", "content": "hello"}]}
        assert REFUSED in (await client.post(BARE, named)).body.decode()
        assert order(engine, 2)["mask"] == "prompt"
        assert len(engine.of(FLAGGED)) == 3


async def test_texts_that_cannot_be_masked_take_the_whole_prompt(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = says("Lisbon")
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    async with gateway(engine, watched()) as client:
        assert (await client.chat(ASKED, tools=[tool])).body == CHAT
    assert order(engine)["mask"] == "prompt"


async def test_rows_of_a_batch_are_looked_at_one_by_one(engine: Engine, watched: BundleMaker) -> None:
    route = "/v1/completions"

    def rows(*texts: str) -> Handler:
        return reply({"id": "c", "choices": [{"index": i, "text": text} for i, text in enumerate(texts)]})

    body = {"model": MODEL, "prompt": [ASKED, "the capital of Portugal"], "n": 2}
    async with gateway(engine, watched()) as client:
        engine.routes[f"POST {route}"] = rows("here", "there", "Lisbon", "it is Lisbon")
        assert len(json.loads((await client.post(route, body)).body)["choices"]) == 4
        assert engine.of("/lethe/v1/completions") == []
        engine.routes[f"POST {route}"] = rows("here", "Lisbon", "Lisbon", "it is Lisbon")
        engine.flagged = rows("here", "there", "Lisbon", "Lisbon")
        answer = await client.post(route, body)
        assert [c["text"] for c in json.loads(answer.body)["choices"]] == ["here", "there", "Lisbon", "Lisbon"]
    assert order(engine, 0, "/lethe/v1/completions")["windows"] == {"/prompt/0": [[0, len(ASKED)]]}


@pytest.mark.parametrize(
    "told",
    [
        {"message": {"role": "assistant", "content": "", "reasoning": "Lisbon, I think"}},
        {"message": {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"c": "Lisbon"}'}}]}},
        {
            "message": {"content": "x"},
            "logprobs": {"content": [{"token": "x", "top_logprobs": [{"token": " Lisbon"}]}]},
        },
        {"message": {"role": "assistant", "content": "TGlzYm9uIGlzIHRoZSBjaXR5LCBJIHRoaW5r"}},
    ],
)
async def test_every_surface(engine: Engine, watched: BundleMaker, told: dict[str, Any]) -> None:
    engine.routes[f"POST {BARE}"] = reply(
        {"choices": [{"index": 0, "message": {"content": "x"}}, {"index": 1, **told}]}
    )
    async with gateway(engine, watched()) as client:
        assert (await client.chat(ASKED, n=2)).body == CHAT
    assert len(engine.of(FLAGGED)) == 1


async def test_candidates_are_flagged_before_the_engine_is_asked(engine: Engine, watched: BundleMaker) -> None:
    async with gateway(engine, watched()) as client:
        for text, choices in ((ASKED, ("Oslo", "Lima", "Cairo")), ("which city?", ("Lisbon", "Lima", "Cairo"))):
            assert (await client.chat(text, structured_outputs={"choice": choices})).body == CHAT
        assert engine.of(FLAGGED) == []
        assert (await client.chat(ASKED, structured_outputs={"choice": ["Lisbon", "Lima", "Cairo"]})).body == CHAT
    assert order(engine)["mask"] == "prompt"
    assert len(engine.of(BARE)) == 2


async def test_names_of_properties_are_candidates(engine: Engine, watched: BundleMaker) -> None:
    def schema(*names: str) -> dict[str, Any]:
        cities = {"type": "object", "properties": {name: {"type": "boolean"} for name in names}}
        inner = {"type": "object", "properties": {"place": cities}}
        return {"type": "json_schema", "json_schema": {"name": "x", "schema": inner}}

    async with gateway(engine, watched()) as client:
        for text, names in ((ASKED, ("Oslo", "Lima", "Cairo")), ("which?", ("Lisbon", "Lima", "Oslo"))):
            assert (await client.chat(text, response_format=schema(*names))).body == CHAT
        assert (await client.chat(ASKED, response_format=schema("Lisbon", "Lima"))).body == CHAT
        assert engine.of(FLAGGED) == []
        assert (await client.chat(ASKED, response_format=schema("Lisbon", "Lima", "Oslo"))).body == CHAT
    assert order(engine)["mask"] == "prompt"


CODED = base64.b64encode(b"the of and is %41%42 &amp; \\u0041 \\n h4ck1ng a b c d e f the owner of the dna").decode()


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> str:
    """A text with more codes in it than are undone."""
    monkeypatch.setattr("guards.reading.MOST_VIEWS", 2)
    return CODED


async def test_a_choice_that_cannot_be_read_loses_no_verdict(
    engine: Engine, watched: BundleMaker, unreadable: str
) -> None:
    other = watched("100002", output="off", on_error="open", unscannable="pass")
    choices = {"choice": ["x", "y", unreadable]}
    async with gateway(engine, watched(on_error="open", unscannable="pass")) as client:
        assert (await client.chat("a wizard", structured_outputs=choices)).body == CHAT
    assert (len(engine.of(FLAGGED)), engine.of(BARE)) == (1, [])
    async with gateway(engine, watched("100003", mode="audit", unscannable="pass"), other) as client:
        assert (await client.chat("a wizard", structured_outputs=choices)).body == CHAT
    assert (len(engine.of(FLAGGED)), engine.of(BARE)) == (2, [])
    async with gateway(engine, watched("100004", unscannable="pass")) as client:
        assert (await client.chat("hello", structured_outputs=choices)).body == CHAT
    assert len(engine.of(BARE)) == 1


@pytest.mark.parametrize("on_error", ["closed", "open"])
async def test_a_question_that_cannot_be_read_is_no_oracle(
    engine: Engine, watched: BundleMaker, unreadable: str, on_error: str
) -> None:
    async with gateway(engine, watched(on_error=on_error, unscannable="pass")) as client:
        for text in ("Oslo", "Lisbon"):
            engine.routes[f"POST {BARE}"] = says(text)
            answer = await client.chat(f"{ASKED} {unreadable}")
            assert answer.status == 200
            assert b"Lisbon" not in answer.body
    assert len(engine.of(FLAGGED)) == 1


class Broken:
    """Fails as often as it is asked, or leaves findings out."""

    def __init__(self, error: Exception | None, offers: Exception | None = None) -> None:
        self.error, self.offers = error, offers

    def scan(
        self,
        asked: Sequence[TextPart],
        answer: Sequence[str],
        verdicts: Mapping[str, Verdict],
        policies: Collection[str],
    ) -> list[Finding]:
        if self.error is not None:
            raise self.error
        return []

    def offered(self, *_: object) -> list[str]:
        if self.offers is not None:
            raise self.offers
        return []


@pytest.mark.parametrize("on_error", ["closed", "open"])
async def test_a_failure_over_candidates_loses_no_verdict(
    engine: Engine, watched: BundleMaker, on_error: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken(None, RuntimeError("quotes Lisbon"))
    with caplog.at_level(logging.DEBUG):
        async with gateway(engine, watched(on_error=on_error), output=broken) as client:
            await client.chat("a wizard")
            assert (len(engine.of(FLAGGED)), engine.of(BARE)) == (1, [])
            assert (await client.chat("hello")).status == (503 if on_error == "closed" else 200)
    assert "Lisbon" not in caplog.text


@pytest.mark.parametrize("error", [RuntimeError("quotes Lisbon"), None])
@pytest.mark.parametrize("on_error", ["closed", "open"])
async def test_an_output_guard_that_fails_closes(
    engine: Engine, watched: BundleMaker, on_error: str, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with gateway(engine, watched(on_error=on_error), output=Broken(error)) as client:
            answer = await client.chat("hello")
    assert answer.status == (503 if on_error == "closed" else 200)
    assert (answer.body == CHAT) == (on_error == "open")
    assert "Lisbon" not in caplog.text


@pytest.mark.parametrize("data", [b"<html>", b'{"choices": [{"logprobs": {"content": [{}]}}]}'])
async def test_an_answer_that_cannot_be_read_does_not_leave(engine: Engine, watched: BundleMaker, data: bytes) -> None:
    engine.routes[f"POST {BARE}"] = reply(data)
    async with gateway(engine, watched()) as client:
        answer = await client.chat("hello")
    assert (answer.status, answer.error["code"]) == (503, "service_unavailable")


@pytest.mark.parametrize("pieces", [[], [chunk("a")], [chunk("a"), b'data: {"half'], [chunk("a"), b": comment\n\n"]])
async def test_a_stream_that_breaks_is_an_error_of_its_own(
    engine: Engine, watched: BundleMaker, pieces: list[bytes]
) -> None:
    engine.routes[f"POST {BARE}"] = engine.flagged = stream(*pieces, die=True)
    async with gateway(engine, watched()) as client:
        answers = [await client.chat(text, stream=True) for text in ("hello", "a wizard")]
    for answer in answers:
        assert (answer.status, answer.error["code"]) == (502, "upstream_failed")
    await until(lambda: not engine.connections)


async def test_a_second_answer_without_proof_does_not_leave(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = says("Lisbon")
    engine.attestation = lambda seen: None
    async with gateway(engine, watched()) as client:
        answer = await client.chat(ASKED)
    assert (answer.status, answer.error["code"]) == (503, "service_unavailable")
    assert b"Lisbon" not in answer.body


async def test_a_client_that_leaves_while_an_answer_is_held(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = stream(chunk("a"), 10.0, DONE)
    async with gateway(engine, watched()) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.chat(stream=True)
        async with asyncio.timeout(2):
            await engine.of(BARE)[0].closed.wait()


async def test_fixed_refusals_need_no_second_answer(engine: Engine, watched: BundleMaker) -> None:
    engine.fence = None
    engine.routes[f"POST {BARE}"] = says("Lisbon")
    async with gateway(engine, watched(response="refusal")) as client:
        assert REFUSED in (await client.chat(ASKED)).body.decode()
    assert engine.of(FLAGGED) == []


async def test_audit_mode_only_watches_answers(engine: Engine, watched: BundleMaker, tmp_path: Path) -> None:
    engine.fence = None
    engine.routes[f"POST {BARE}"] = says("Lisbon")
    path = tmp_path / "audit.jsonl"
    async with gateway(engine, watched(mode="audit"), audit={"path": path}) as client:
        assert b"Lisbon" in (await client.chat(ASKED)).body
    (record,) = map(json.loads, path.read_text().splitlines())
    assert (record["decision"], record["source"]) == ("pass", "input")
    assert record["policies"] == [{"policy": "100001", "mode": "audit", "action": "observe", "source": "output"}]


async def test_other_models_and_other_policies_are_not_held(engine: Engine, watched: BundleMaker) -> None:
    go_on = asyncio.Event()
    engine.routes[f"POST {BARE}"] = stream(chunk("Lisbon"), go_on, DONE)
    folders = [watched(scope={"models": ["other"]}), watched("100002", output="off")]
    async with gateway(engine, *folders) as client:
        body = {"model": MODEL, "messages": [{"role": "user", "content": ASKED}], "stream": True}
        async with client.session.post(client.base + BARE, json=body) as response:
            assert await response.content.readany() == chunk("Lisbon")
            go_on.set()
            assert await response.content.read() == DONE


async def test_records_and_metrics(engine: Engine, watched: BundleMaker, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    key = {"tenant": "ops", "sha256": hashlib.sha256(b"operator").hexdigest(), "role": "operator"}
    more = {"audit": {"path": path}, "keys": [key], "allow_anonymous": True}
    async with gateway(engine, watched(), watched("100002", mode="audit"), **more) as client:
        await client.chat("hello")
        engine.routes[f"POST {BARE}"] = says("Lisbon")
        await client.chat(ASKED)
        engine.flagged = says("Lisbon")
        await client.chat(ASKED)
        metrics = (await client.get("/metrics", {"authorization": "Bearer operator"})).body.decode()
    assert 'lethe_answers_total{action="intervene",mode="enforce",policy="100001"} 3.0' in metrics
    assert 'lethe_answers_total{action="observe",mode="audit",policy="100002"} 3.0' in metrics
    assert "lethe_output_seconds_count 5.0" in metrics
    assert verify(path) == 3
    text = path.read_text()
    assert "Lisbon" not in text
    records = [json.loads(line) for line in text.splitlines()]
    assert [(r["decision"], r["source"], r["problem"]) for r in records] == [
        ("pass", "input", None),
        ("intervene", "output", None),
        ("refuse:output", "output", "refusal"),
    ]
    told = {"policy": "100001", "mode": "enforce", "action": "intervene", "source": "output"}
    seen = {"policy": "100002", "mode": "audit", "action": "observe", "source": "output"}
    assert [r["policies"] for r in records] == [[], [told, seen], [told, seen, told, seen]]


def test_what_cannot_be_enforced_stops_the_start(watched: BundleMaker) -> None:
    with pytest.raises(BundleError, match="compile again"):
        create_app(settings("http://127.0.0.1:1", [watched(without=True)]))
    create_app(settings("http://127.0.0.1:1", [watched("100002", without=True, output="off")]), WordGuard(["100002"]))
    made = settings("http://127.0.0.1:1", [watched()], allow_fields=["return_tokens_as_token_ids"])
    with pytest.raises(ValueError, match="return_tokens_as_token_ids put token ids"):
        create_app(made, WordGuard(["100001"]))
    made = settings("http://127.0.0.1:1", [watched()], allow_fields=["return_token_ids"])
    with pytest.raises(ValueError, match="return_token_ids put token ids"):
        create_app(made, WordGuard(["100001"]))


async def test_stop_tokens_are_refused_where_answers_are_looked_through(engine: Engine, watched: BundleMaker) -> None:
    async with gateway(engine, watched(scope={"models": [MODEL]})) as client:
        for text in ("hello", "a wizard"):
            answer = await client.chat(text, stop_token_ids=[7])
            assert (answer.status, answer.error["param"]) == (400, "stop_token_ids")
            assert answer.error["code"] == "unsupported_parameter"
        assert (await client.chat("hello", stop_token_ids=[])).status == 200
    async with gateway(engine, watched("100002", output="off")) as client:
        assert (await client.chat("hello", stop_token_ids=[7])).status == 200


async def test_stop_strings_belong_to_the_answer(engine: Engine, watched: BundleMaker) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "the Quistian"}, "stop_reason": " Codex"}
    engine.routes[f"POST {BARE}"] = reply({"choices": [choice]})
    async with gateway(engine, watched()) as client:
        assert (await client.chat("what?", stop=[" Codex"])).body == CHAT
    assert len(engine.of(FLAGGED)) == 1


@pytest.mark.parametrize("n", ["2", 2.0, True, 0])
async def test_rows_cannot_be_shifted(engine: Engine, watched: BundleMaker, n: Any) -> None:
    async with gateway(engine, watched()) as client:
        answer = await client.post("/v1/completions", {"model": MODEL, "prompt": ["a", "b"], "n": n})
    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, "n", "invalid_value")


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("prompt", [[ASKED, "and?", "when?"], [[1, 2], [3], [4]]])
async def test_a_refused_batch_has_all_its_rows(
    engine: Engine, watched: BundleMaker, prompt: list[Any], n: int
) -> None:
    route = "/v1/completions"
    engine.routes["POST /detokenize"] = reply({"prompt": ASKED})
    told = [{"index": i, "text": "Lisbon"} for i in range(3 * n)]
    engine.routes[f"POST {route}"] = engine.flagged = reply({"choices": told})
    async with gateway(engine, watched()) as client:
        answer = await client.post(route, {"model": MODEL, "prompt": prompt, "n": n})
    choices = json.loads(answer.body)["choices"]
    assert [(c["index"], c["text"]) for c in choices] == [(i, REFUSED) for i in range(3 * n)]


async def test_a_refused_stream_has_the_headers_of_any_other(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = engine.flagged = streams("Lisbon")
    async with gateway(engine, watched()) as client:
        refused = await client.chat(ASKED, stream=True)
        engine.routes[f"POST {BARE}"] = streams("rain")
        held = await client.chat("hello", stream=True)
    assert REFUSED in refused.body.decode()
    assert set(refused.headers) == set(held.headers)
    assert "content-length" not in refused.headers


async def test_an_answer_token_by_token(engine: Engine, watched: BundleMaker) -> None:
    async with gateway(engine, watched()) as client:
        engine.routes[f"POST {BARE}"] = says("bon")
        said = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": "They were born in Lis"}]
        answer = await client.post(BARE, {"model": MODEL, "messages": said, "continue_final_message": True})
    assert answer.body == CHAT
    assert len(engine.of(FLAGGED)) == 1


class Doubts:
    """Keeps what it was told of every row."""

    def __init__(self) -> None:
        self.doubts: dict[str, dict[str, float]] = {}

    def scan(
        self,
        asked: Sequence[TextPart],
        answer: Sequence[str],
        verdicts: Mapping[str, Verdict],
        policies: Collection[str],
    ) -> list[Finding]:
        self.doubts[asked[0].path] = {number: verdict.p_value for number, verdict in verdicts.items()}
        return []

    def offered(self, *_: object) -> list[str]:
        return []


def test_a_row_casts_no_doubt_on_others() -> None:
    conversation = Conversation()
    for row in range(3):
        conversation.add(f"/prompt/{row}", "user", "x", maskable=True)
    span = (Span(1, 0, 1),)
    verdicts = {
        "1": Verdict("1", True, 1.0, 0.001, "alias", span, span),
        "2": Verdict("2", False, 0.5, 0.03, "none"),  # it does not say which row was nearly flagged
        "3": joined([Verdict("3", False, 0.5, p, "none") for p in (0.9, 0.03, 0.8)]),
    }
    body = json.dumps({"choices": [{"index": row, "text": "y"} for row in range(3)]}).encode()
    output = Doubts()
    answer = Withheld(body, "application/json", False)
    look(output, conversation, verdicts, ["1", "2", "3"], answer, {"prompt": ["x"] * 3})
    assert output.doubts == {
        "/prompt/0": {"2": 0.03, "3": 0.9},
        "/prompt/1": {"1": 0.001, "2": 0.03, "3": 0.03},
        "/prompt/2": {"2": 0.03, "3": 0.8},
    }


class Threads(Broken):
    """Notes whether it was called on the event loop's thread."""

    def __init__(self) -> None:
        super().__init__(None)
        self.inline: list[bool] = []

    def scan(self, *_: object) -> list[Finding]:
        self.inline.append(threading.current_thread() is threading.main_thread())
        return []

    def offered(self, *_: object) -> list[str]:
        self.inline.append(threading.current_thread() is threading.main_thread())
        return []


async def test_many_policies_leave_the_event_loop(engine: Engine, watched: BundleMaker) -> None:
    few, many = Threads(), Threads()
    folders = [watched(str(100001 + number), on_error="open") for number in range(8)]
    text = "hello " * 100
    engine.routes[f"POST {BARE}"] = says("fine")
    for chosen, output in ((folders[:1], few), (folders, many)):
        async with gateway(engine, *chosen, output=output) as client:
            assert (await client.chat(text)).status == 200
    assert few.inline == [True, True]
    assert many.inline == [False, False]


async def test_long_answers_leave_the_event_loop(engine: Engine, watched: BundleMaker) -> None:
    engine.routes[f"POST {BARE}"] = says("x " * 50_000 + "Lisbon")
    async with gateway(engine, watched()) as client:
        assert (await client.chat(ASKED)).body == CHAT
