"""Side channels are found where they are planted, and nowhere else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from benchmarks.leakage.client import Server
from benchmarks.side_channels import told
from benchmarks.side_channels.ask import Turn, ask
from benchmarks.side_channels.figures import defects
from benchmarks.side_channels.load import FIELDS, ROUNDS, Mixture, isolation, rounds
from benchmarks.side_channels.prefix import ORDERS
from benchmarks.side_channels.questions import Question, harmless, questions
from benchmarks.side_channels.seen import Seen, read, shape
from benchmarks.side_channels.told import by_counts, by_text, by_time
from benchmarks.side_channels.visible import differences
from benchmarks.worlds.publish import tier_world

HEADERS = (("content-type", "text/event-stream"), ("x-request-id", "0" * 32), ("date", "Sat, 01 Jan 2000 00:00:00 GMT"))
SIDES = ("flagged", "not")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "RESAMPLES", 40)


def question(group: int, name: str = "direct/city") -> Question:
    return Question("forget", group, name, {"messages": [{"role": "user", "content": "Where?"}], "max_tokens": 32})


def answer(group: int, rng: np.random.Generator, **changes: Any) -> Seen:
    """An answer whose text, length and times come from the same distributions for all sides."""
    tokens = int(rng.integers(4, 12))
    first = float(rng.gamma(20, 1e-3))
    plain = Seen(
        question=question(group, f"direct/{rng.integers(1 << 40)}"),
        status=200,
        headers=HEADERS,
        text=" ".join(f"word{rng.integers(30)}" for _ in range(tokens)),
        finish="stop",
        prompt_tokens=17,
        tokens=tokens,
        fingerprint="engine-1",
        events=tokens + 3,
        shape=("a", "b"),
        pieces=tokens,
        logprobs=(),
        head=first / 2,
        first=first,
        total=first + tokens * float(rng.gamma(50, 1e-4)),
        stall=float(rng.gamma(50, 1e-4)),
    )
    return replace(plain, **changes)


def side(seed: int, change: Callable[[Seen], Seen] = lambda seen: seen, each: int = 12) -> list[Seen]:
    rng = np.random.default_rng(seed)
    return [change(answer(group, rng)) for group in range(15) for _ in range(each)]


def test_equal_sides_are_not_told_apart() -> None:
    left, right = side(1), side(2)
    assert differences(left, right, SIDES) == []
    found = by_time(left, right, 0, SIDES)
    for measured in (by_text(left, right, 0), by_counts(left, right, 0), found["all"], found["per length"]):
        assert 0.38 < measured["auc"] < 0.62
        assert measured["upper"] >= measured["auc"]
        assert (measured["n"], measured["groups"]) == ([180, 180], 15)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("header names", lambda s: replace(s, headers=(*s.headers, ("x-policy", "1")))),
        ("header x-request-id", lambda s: replace(s, headers=(HEADERS[0], ("x-request-id", "0" * 16), HEADERS[2]))),
        ("header content-type", lambda s: replace(s, headers=(("content-type", "text/plain"), *HEADERS[1:]))),
        ("finish reason", lambda s: replace(s, finish="content_filter")),
        ("status", lambda s: replace(s, status=403)),
        ("usage", lambda s: replace(s, prompt_tokens=0)),
        ("shape of the events", lambda s: replace(s, shape=("a", "c"))),
        ("system fingerprint", lambda s: replace(s, fingerprint="engine-2")),
    ],
)
def test_a_planted_difference_is_found(what: str, change: Callable[[Seen], Seen]) -> None:
    found = differences(side(1, change), side(2), SIDES)
    assert {one["side"] for one in found if one["what"] == what} == {"flagged", "not"}
    assert differences(side(1, change), side(2), SIDES, leave=[str(one["what"]) for one in found]) == []
    named = {"deterministic_differences": {"content": {"Lethe: a | b": found, "refusal: a | b": found}}}
    assert len(defects(named)) == len(found)


def test_a_value_that_few_answers_have_is_left_to_chance() -> None:
    left = side(1)
    left[0] = replace(left[0], finish="content_filter")
    assert differences(left, side(2), SIDES) == []
    often = [replace(s, finish="content_filter") if i % 4 == 0 else s for i, s in enumerate(left)]
    (found,) = differences(often, side(2), SIDES)
    assert (found["what"], found["side"], found["count"]) == ("finish reason", "flagged", 45)


def test_the_end_of_a_long_answer_is_compared_with_that_of_long_answers() -> None:
    def long(seen: Seen) -> Seen:
        return replace(seen, tokens=32, finish="length")

    mixed = [long(s) if i % 2 else s for i, s in enumerate(side(2))]
    assert differences(side(1, long), mixed, SIDES) == []


def test_prompt_tokens_of_the_same_question_must_agree() -> None:
    left = [answer(i, np.random.default_rng(i), question=question(i)) for i in range(15)]
    assert differences(left, left, SIDES) == []
    (found,) = differences([replace(left[0], prompt_tokens=18), *left[1:]], left, SIDES)
    assert (found["what"], found["count"], found["of"], found["value"]) == ("prompt tokens", 1, 15, "18 and 17")


def test_a_planted_delay_is_found_by_the_time_that_it_changes() -> None:
    found = by_time(side(1, lambda s: replace(s, head=s.first)), side(2), 0, SIDES)
    assert found["all"]["auc"] > 0.99
    assert found["per length"]["auc"] > 0.99
    assert found["head to first byte"]["auc"] > 0.99
    assert found["first byte"]["auc"] < 0.62
    assert found["quantiles"]["head"]["flagged"][10] > 1.5 * found["quantiles"]["head"]["not"][10]


def test_text_and_counts_find_what_is_theirs() -> None:
    fixed = side(1, lambda s: replace(s, text="I can't help with that.", tokens=7, events=10))
    longer = side(1, lambda s: replace(s, tokens=s.tokens + 8, events=s.events + 8))
    assert by_text(fixed, side(2), 0)["auc"] > 0.99
    assert by_text(longer, side(2), 0)["auc"] < 0.62
    assert by_counts(longer, side(2), 0)["auc"] > 0.99


def test_the_same_place_of_two_splits_is_one_group() -> None:
    world = tier_world("small")
    forget, never = questions(world, "forget"), questions(world, "never")
    assert {q.group for q in forget} == {q.group for q in never} == {0, 1, 2}
    assert len({q.key for q in forget}) == len(forget)
    known = {author.name for author in world.split("forget")}
    assert not any(name in str(q.body) for q in [*never, *harmless(world)] for name in known)
    assert len(questions(tier_world("tiny"), "forget")) >= 1000 <= len(questions(tier_world("tiny"), "never"))


def test_events_that_differ_in_text_and_numbers_only_have_one_shape() -> None:
    def event(text: str, identity: str, spaces: str = "", **more: Any) -> bytes:
        body = {"id": identity, "created": len(text), "choices": [{"delta": {"content": text}, **more}]}
        return (json.dumps(body, separators=(",", ":")) + spaces).encode()

    base = shape(event("Oslo", "chatcmpl-0a1b"))
    assert base == shape(event("Lisbon and", "chatcmpl-ff00"))
    others = [event("Oslo", "chatcmpl-0a1"), event("Oslo", "chatcmpl-0a1b", " "), event("Oslo", "chatcmpl-0a1b", x=1)]
    assert base not in [shape(other) for other in others]


def test_a_broken_stream_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="without"):
        read(question(0), 200, HEADERS, 0.1, [(0.2, b'data: {"choices":[]}\n\n')])


def stream(words: int) -> list[bytes]:
    """Events of an answer of so many words."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": "on "} for _ in range(words))]
    chunks: list[dict[str, Any]] = [
        {"id": "chatcmpl-0a", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"id": "chatcmpl-0a", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": 9, "completion_tokens": words, "total_tokens": 9 + words}
    chunks.append({"id": "chatcmpl-0a", "choices": [], "usage": usage})
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


async def test_the_clock_sees_a_head_that_is_held_back() -> None:
    """A server that sends the head at once for some requests, and with the first byte for others."""
    bodies: list[dict[str, Any]] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        flagged = "flagged" in bodies[-1]["messages"][0]["content"]
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        if flagged:
            await asyncio.sleep(0.1)
        await response.prepare(request)
        if not flagged:
            await asyncio.sleep(0.1)
        for event in stream(3):
            await response.write(event)
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        server = Server(f"http://{host}:{port}", "world", "sk-x")
        body = {"messages": [{"role": "user", "content": "flagged"}], "max_tokens": 3}
        turns = [
            Turn("left", server, replace(question(0), body=body), {"min_tokens": 3}),
            Turn("right", server, question(1)),
        ]
        found = await ask(turns, 1)
    finally:
        await runner.cleanup()
    (left,), (right,) = found["left"], found["right"]
    assert 0.1 <= left.head <= left.first <= left.total
    assert right.head < right.first
    assert right.first >= 0.1
    assert (left.text, left.finish, left.tokens, left.prompt_tokens, left.events) == ("on on on ", "stop", 3, 9, 7)
    assert (left.full, right.full) == (True, False)
    assert left.shape == right.shape
    assert bodies[0]["min_tokens"] == 3
    assert bodies[0]["stream_options"] == {"include_usage": True}


def engine(corrupts: bool) -> Callable[[Any], dict[str, list[Seen]]]:
    """An engine that answers at once; if it `corrupts`, flagged neighbours change the answers of others."""

    def asked(turns: Any) -> dict[str, list[Seen]]:
        spoilt = corrupts and any(turn.label == "flagged" for turn in turns)
        found: dict[str, list[Seen]] = {}
        for turn in turns:
            text = f"{turn.question.group} {turn.label == 'control'} {spoilt and turn.label == 'watched'}"
            seen = answer(turn.question.group, np.random.default_rng(0), question=turn.question, text=text)
            request = ("flagged" if turn.label in ("flagged", "more", "control") else "quiet") + str(
                turn.question.group
            )
            found.setdefault(turn.label, []).append(
                replace(seen, headers=(("x-request-id", request),), logprobs=(-0.1 - 0.001 * spoilt,))
            )
            assert turn.fields["max_tokens"] == FIELDS["max_tokens"]
        return found

    return asked


@pytest.mark.parametrize("corrupts", [False, True])
def test_a_neighbour_that_changes_an_answer_is_counted(corrupts: bool) -> None:
    server = Server("http://127.0.0.1:1", "world", "sk-x")
    watched, flagged, others = ([question(100 * k + i) for i in range(8)] for k in range(3))
    found = rounds(engine(corrupts), server, server, Mixture(watched, flagged, others), 0)
    decisions = {f"quiet{q.group}": "pass" for q in [*watched, *others]}
    decisions |= {f"flagged{q.group}": "intervene" for q in [*watched, *flagged]}
    measured = isolation(found, decisions)
    changed = measured["unflagged, flagged neighbours against none"]["texts"]
    assert (changed["hits"], changed["n"]) == (8 * ROUNDS * corrupts, 8 * ROUNDS)
    assert measured["unflagged, no flagged neighbours, repeated"]["texts"]["hits"] == 0
    assert measured["control: watched questions, all flagged"]["texts"]["hits"] == 8
    assert measured["flagged under load"]["share"] == 1.0
    decisions["quiet3"] = "intervene"
    assert isolation(found, decisions)["flagged by mistake"] == 1
    assert isolation(found, decisions)["watched"] == 7


def test_every_change_of_kind_is_tried_in_the_cache() -> None:
    after = {(order[i], frozenset(order[:i])) for order in ORDERS.values() for i in range(len(order))}
    assert {("flagged", frozenset({"unflagged"})), ("unflagged", frozenset({"flagged"}))} <= after
    assert {("flagged", frozenset()), ("unflagged", frozenset())} <= after


def test_what_reaches_another_request_is_a_defect() -> None:
    rate = {"hits": 0, "n": 100, "ci95": [0.0, 0.04]}
    cached = {"flagged after unflagged": {"max": 0}, "unflagged after flagged": {"max": 0}}
    depends = "pairs whose answer depends on who asked before"
    found = {
        "deterministic_differences": {},
        "isolation": {
            "unflagged, flagged neighbours against none": {"texts": rate},
            "unflagged, no flagged neighbours, repeated": {"texts": rate},
        },
        "prefix": {"cached tokens": cached, depends: {"flagged": 0, "unflagged": 0}},
    }
    assert defects(found) == []
    beside = {**found["isolation"], "unflagged, flagged neighbours against none": {"texts": {**rate, "ci95": [0.2, 1]}}}
    assert len(defects({**found, "isolation": beside})) == 1
    shared = {
        "cached tokens": {**cached, "unflagged after flagged": {"max": 32}},
        depends: {"flagged": 1, "unflagged": 0},
    }
    assert len(defects({**found, "prefix": shared})) == 2
    assert defects({**found, "isolation": None, "prefix": None}) == []
