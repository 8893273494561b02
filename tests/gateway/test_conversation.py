from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.conversation import PROSE, Conversation, collect, joined_strings, prose
from gateway.sanitize import sanitize

ROUTE = "/v1/chat/completions"


async def _no_tokens(tokens: list[int]) -> str:
    raise AssertionError("nothing to detokenise")


def seen(body: dict[str, Any]) -> Conversation:
    """Run the coroutine to its end; it never waits without token prompts."""
    coroutine = collect(body, _no_tokens)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("it waited")


def test_pointers_roles_and_what_can_be_masked() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {}}]},
            {
                "role": "assistant",
                "content": None,
                "reasoning": "hmm",
                "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": '{"q":"\\u0048arry"}'}}],
            },
            {"role": "tool", "content": "result", "tool_call_id": "c1", "name": "f"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"Harry": {}}}}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"enum": ["Ron"]}}},
    }
    conversation = seen(sanitize(ROUTE, body).body)
    found = [(part.path, part.role, part.text, i in conversation.maskable) for i, part in enumerate(conversation.parts)]
    assert found == [
        ("/messages/0/content", "system", "rules", True),
        ("/messages/1/content/0/text", "user", "one", True),
        ("/messages/2/reasoning", "assistant", "hmm", False),
        ("/messages/2/tool_calls/0/id", "assistant", "c1", False),
        ("/messages/2/tool_calls/0/function/name", "assistant", "f", False),
        ("/messages/2/tool_calls/0/function/arguments", "assistant", '{"q":"\\u0048arry"}', False),
        ("/messages/2/tool_calls/0/function/arguments", "assistant", "q\nHarry", False),
        ("/messages/3/content", "tool", "result", True),
        ("/messages/3/tool_call_id", "tool", "c1", False),
        ("/messages/3/name", "tool", "f", False),
        ("/tools/0", "tool_definition", "type\nfunction\nfunction\nname\nf\nparameters\nproperties\nHarry", False),
        (
            "/response_format",
            "tool_definition",
            "type\njson_schema\njson_schema\nname\ns\nschema\nenum\nRon",
            False,
        ),
        ("/response_format/json_schema/schema/enum/0", "tool_description", "Ron", False),
    ]
    assert conversation.unscannable == ["/messages/1/content/1"]
    assert conversation.first_user_text == "one"


def test_prompts() -> None:
    assert [(p.path, p.text) for p in seen({"prompt": "a"}).parts] == [("/prompt", "a")]
    assert [(p.path, p.text) for p in seen({"prompt": ["a", "b"]}).parts] == [("/prompt/0", "a"), ("/prompt/1", "b")]


async def test_token_prompts() -> None:
    async def detokenize(tokens: list[int]) -> str:
        return " ".join(map(str, tokens))

    one = await collect({"prompt": [1, 2]}, detokenize)
    assert [(p.path, p.text) for p in one.parts] == [("/prompt", "1 2")]
    two = await collect({"prompt": [[1], [2, 3]]}, detokenize)
    assert [(p.path, p.text) for p in two.parts] == [("/prompt/0", "1"), ("/prompt/1", "2 3")]


text = st.text(min_size=1)
part = text.map(lambda t: {"type": "text", "text": t}) | text.map(lambda t: {"type": "refusal", "refusal": t})
call = st.fixed_dictionaries(
    {
        "function": st.fixed_dictionaries(
            {"name": text, "arguments": st.dictionaries(text, text).map(json.dumps) | text}
        )
    },
    optional={"id": text, "type": st.just("function")},
)
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])},
    optional={
        "content": text | st.lists(part) | st.none(),
        "name": text,
        "tool_call_id": text,
        "tool_calls": st.lists(call),
        "reasoning": text,
        "reasoning_content": text,
        "refusal": text,
    },
)


def _leaves(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, str):
        if key not in ("role", "type"):
            yield value
        if key == "arguments":
            try:
                decoded = json.loads(value)
            except ValueError:
                return
            if isinstance(decoded, dict):
                yield from (k for k in decoded)
                yield from decoded.values()
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, name)


@given(st.lists(message, min_size=1, max_size=5))
def test_no_string_of_a_message_is_missed(messages: list[dict[str, Any]]) -> None:
    body = sanitize(ROUTE, {"model": "m", "messages": messages}).body
    conversation = seen(body)
    texts = [part.text for part in conversation.parts]
    for leaf in _leaves(messages):
        assert leaf in texts or any(leaf in t for t in texts)
    for i, part in enumerate(conversation.parts):
        node: Any = body
        for step in part.path.split("/")[1:]:
            node = node[int(step)] if isinstance(node, list) else node[step.replace("~1", "/").replace("~0", "~")]
        if i in conversation.maskable:
            assert node == part.text


schema = st.recursive(
    text | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=15,
)


def test_prose_of_schemata_is_read_by_itself() -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "look/up",
            "description": "Finds it.",
            "parameters": {
                "properties": {"a/b": {"enum": ["one", {"x": "two"}], "type": "string", "default": "three"}}
            },
        },
    }
    body = {"tools": [tool], "structured_outputs": {"choice": ["yes", "no"]}}
    found = [(p.path, p.text) for p in seen(body).parts if p.role == "tool_description"]
    assert found == [
        ("/tools/0/function/description", "Finds it."),
        ("/tools/0/function/parameters/properties/a~1b/enum/0", "one"),
        ("/tools/0/function/parameters/properties/a~1b/enum/1/x", "two"),
        ("/tools/0/function/parameters/properties/a~1b/default", "three"),
        ("/structured_outputs/choice/0", "yes"),
        ("/structured_outputs/choice/1", "no"),
    ]


def test_a_deep_schema_is_read() -> None:
    nested: Any = "deep"
    for _ in range(5000):
        nested = {"description": [nested]}
    assert [text for _, text in prose("", nested)] == ["deep"]


@given(st.dictionaries(st.sampled_from(sorted(PROSE)), schema))
def test_no_string_of_prose_is_missed(value: dict[str, Any]) -> None:
    assert [text for _, text in prose("", value)] == list(_strings(value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        yield from _strings(item)


def _everything(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _everything(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _everything(item)


@given(st.dictionaries(text, schema))
def test_no_string_or_key_of_a_schema_is_missed(parameters: dict[str, Any]) -> None:
    assert joined_strings(parameters) == "\n".join(_everything(parameters))
