from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.body import parse_body
from gateway.errors import RequestError
from tests.gateway.conftest import Client
from tests.gateway.upstream import Engine

PLAIN = {"model": "m", "messages": [{"role": "user", "content": 'a ":" b {"a":1,"a":2}'}]}


def test_a_body_is_parsed() -> None:
    assert parse_body(json.dumps(PLAIN).encode()) == PLAIN


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1]",
        b'"text"',
        b"null",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b'{"a":1,}',
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"b":[{"c":1,"c":1}]}}',
        b'{"a":' * 100 + b"1" + b"}" * 100,
        b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        json.dumps(PLAIN).encode("utf-16"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(RequestError) as error:
        parse_body(raw)
    assert error.value.status == 400
    assert error.value.code == "invalid_json"


def test_long_numbers_do_not_break_the_parser() -> None:
    assert parse_body(b'{"a":' + b"1" * 300 + b"}") == {"a": float("1" * 300)}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_the_engine_gets_what_the_guards_saw(body: dict[str, object]) -> None:
    try:
        raw = orjson.dumps(body)
    except orjson.JSONEncodeError:
        return  # a lone surrogate, which JSON in UTF-8 cannot carry
    parsed = parse_body(raw)
    assert parsed == body
    assert json.loads(orjson.dumps(parsed)) == json.loads(raw)


@given(st.integers(1, 70))
def test_depth_limit_is_exact(depth: int) -> None:
    raw = b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}" if depth > 1 else b"{}"
    if depth <= 64:
        parse_body(raw, 64)
    else:
        with pytest.raises(RequestError):
            parse_body(raw, 64)


async def test_over_size_is_413_however_it_comes(engine: Engine, plain: Client) -> None:
    big = json.dumps({**PLAIN, "user": "x" * 10_000_000}).encode()
    answer = await plain.post("/v1/chat/completions", data=big)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")

    async def chunked():
        for at in range(0, len(big), 1 << 16):
            yield big[at : at + (1 << 16)]

    async with plain.session.post(plain.base + "/v1/chat/completions", data=chunked()) as response:
        assert response.status == 413
    assert engine.of("/v1/chat/completions") == []


async def test_malformed_json_is_explained(plain: Client) -> None:
    answer = await plain.post("/v1/chat/completions", data=b'{"model": "m", "model": "n"}')
    assert answer.status == 400
    assert "'model' occurs twice" in answer.error["message"]
