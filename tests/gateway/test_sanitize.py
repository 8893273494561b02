from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gateway.checks import Fixed
from gateway.errors import RequestError
from gateway.fields import CHAT, COMPLETIONS, FIELDS
from gateway.sanitize import sanitize
from gateway.settings import OPENABLE_ALWAYS, OPENABLE_WITHOUT_POLICIES, Settings

CHAT_ROUTE, TEXT_ROUTE = "/v1/chat/completions", "/v1/completions"
SMALLEST: dict[str, dict[str, Any]] = {
    CHAT_ROUTE: {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    TEXT_ROUTE: {"model": "m", "prompt": "x"},
}

# from DESIGN section 7, written out so that a lost row of the table is noticed
REFUSED = [
    "vllm_xargs",
    "kv_transfer_params",
    "ec_transfer_params",
    "logits_processors",
    "prompt_embeds",
    "documents",
    "mm_processor_kwargs",
    "truncate_prompt_tokens",
    "request_id",
    "session_id",
    "priority",
    "lethe",
    "steering",
]
OPENABLE = ["prompt_logprobs", "echo", "logprob_token_ids", "return_token_ids", "use_beam_search"]
OPENABLE_CHAT = ["return_prompt_text", "add_generation_prompt", "prediction"]
ALLOWED = [
    "logit_bias",
    "allowed_token_ids",
    "bad_words",
    "response_format",
    "structured_outputs",
    "n",
    "stop",
    "stop_token_ids",
    "min_tokens",
    "ignore_eos",
    "logprobs",
]

GOOD: dict[str, Any] = {
    "model": "other",
    "messages": [{"role": "user", "content": "y"}],
    "prompt": ["a", "b"],
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": False},
    "include_stop_str_in_output": True,
    "ignore_eos": False,
    "skip_special_tokens": True,
    "spaces_between_special_tokens": True,
    "response_format": {"type": "json_object"},
    "structured_outputs": {"choice": ["a", "b"]},
    "user": "u",
    "metadata": {"a": "b"},
    "store": False,
    "service_tier": "auto",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"x": 1}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "include_reasoning": True,
    "continue_final_message": True,
    "chat_template_kwargs": {"enable_thinking": False},
    "modalities": ["text"],
    "n": 2,
}
BAD: dict[str, list[Any]] = {
    "model": [None, "", 3],
    "messages": [None, [], "x", [3], [{}], [{"role": "wizard", "content": "x"}], [{"role": "user", "x": 1}]],
    "prompt": [None, [], 3, [1, "a"], [[]], [[1], "a"], [-1], [True], [1.0], {"a": 1}],
    "stream": ["true", 1],
    "stream_options": [[], {"x": 1}, {"include_usage": 1}],
    "include_stop_str_in_output": ["x"],
    "ignore_eos": [0],
    "skip_special_tokens": [0],
    "spaces_between_special_tokens": [0],
    "response_format": ["json"],
    "structured_outputs": [[], {"backend": "x"}],
    "user": [3],
    "metadata": ["x"],
    "store": [True],
    "service_tier": [1],
    "safety_identifier": [1],
    "prompt_cache_key": [1],
    "tools": [{}, [3], [{"type": "web"}], [{"type": "function", "x": 1}], [{"function": {"x": 1}}]],
    "tool_choice": ["wizard", 3, {"type": "function", "function": {"name": 1}}],
    "parallel_tool_calls": ["no"],
    "reasoning_effort": ["wizard"],
    "include_reasoning": [1],
    "continue_final_message": [1],
    "chat_template_kwargs": [[], {"documents": []}, {"enable_thinking": "wizard"}, {"system": "wizard"}],
    "modalities": [["audio"]],
    "n": ["2", 2.0, True, 0, -1, [2]],
}
ROWS = [(route, name) for route, table in FIELDS.items() for name in table]


@pytest.mark.parametrize(("route", "name"), ROWS)
def test_every_row(route: str, name: str) -> None:
    treatment, body = FIELDS[route][name], SMALLEST[route]
    if treatment is Fixed.ALLOW:
        assert sanitize(route, {**body, name: "anything"}).body == {**body, name: "anything"}
    elif treatment is Fixed.SALT:
        salted = sanitize(route, {**body, name: "mine"})
        assert (salted.body, salted.client_salt) == (body, "mine")
        with pytest.raises(RequestError):
            sanitize(route, {**body, name: 3})
    elif isinstance(treatment, Fixed):
        for value in (1, None, False, [], "x"):
            with pytest.raises(RequestError) as error:
                sanitize(route, {**body, name: value})
            assert (error.value.param, error.value.status) == (name, 400)
        if treatment is Fixed.OPENABLE:
            assert sanitize(route, {**body, name: 1}, {name}).body[name] == 1
        else:
            with pytest.raises(RequestError):
                sanitize(route, {**body, name: 1}, {name})
    else:
        assert sanitize(route, {**body, name: GOOD[name]}).body[name] == GOOD[name]
        for value in BAD[name]:
            with pytest.raises(RequestError) as error:
                sanitize(route, {**body, name: value})
            assert str(error.value.param).startswith(name)
            assert error.value.message.startswith(str(error.value.param))


@pytest.mark.parametrize("route", FIELDS)
def test_the_design_is_in_the_table(route: str) -> None:
    table = FIELDS[route]
    assert {name for name in REFUSED if table[name] is not Fixed.REFUSE} == set()
    assert {name for name in OPENABLE if table[name] is not Fixed.OPENABLE} == set()
    assert {name for name in ALLOWED if name not in table or table[name] in (Fixed.REFUSE, Fixed.OPENABLE)} == set()
    assert table["cache_salt"] is Fixed.SALT


def test_the_design_is_in_the_tables_of_one_route() -> None:
    assert {name for name in OPENABLE_CHAT if CHAT[name] is not Fixed.OPENABLE} == set()
    assert CHAT["chat_template"] is COMPLETIONS["chat_template"] is Fixed.REFUSE
    assert COMPLETIONS["suffix"] is Fixed.OPENABLE
    openable = {name for table in FIELDS.values() for name, t in table.items() if t is Fixed.OPENABLE}
    assert openable == {*OPENABLE_ALWAYS, *OPENABLE_WITHOUT_POLICIES}
    assert Settings(allow_anonymous=True, allow_fields=openable).allow_fields == openable


@pytest.mark.parametrize("route", FIELDS)
def test_unknown_fields_are_named(route: str) -> None:
    with pytest.raises(RequestError, match="guided_magic is not supported") as error:
        sanitize(route, {**SMALLEST[route], "guided_magic": 1})
    assert error.value.param == "guided_magic"


@pytest.mark.parametrize("route", FIELDS)
def test_missing_fields_are_named(route: str) -> None:
    for name in SMALLEST[route]:
        with pytest.raises(RequestError, match=f"{name} is missing"):
            sanitize(route, {key: value for key, value in SMALLEST[route].items() if key != name})


def _message(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "x", **fields}]}


@pytest.mark.parametrize(
    "message",
    [
        {"content": None},
        {"content": [{"type": "text", "text": "x"}, {"type": "refusal", "refusal": "no"}]},
        {"content": [{"type": "image_url", "image_url": {"url": "http://x"}}]},
        {"content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]},
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "name": "f"},
        {"reasoning": "r", "reasoning_content": "r", "refusal": None, "annotations": [], "audio": None},
        {"function_call": None},
    ],
)
def test_messages_that_clients_send(message: dict[str, Any]) -> None:
    body = _message(**message)
    assert sanitize(CHAT_ROUTE, body).body == body


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"content": 3}, "messages[0].content"),
        ({"content": {"type": "text"}}, "messages[0].content"),
        ({"content": ["x"]}, "messages[0].content[0]"),
        ({"content": [{"text": "x"}]}, "messages[0].content[0]"),
        ({"content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"content": [{"type": "text", "text": None}]}, "messages[0].content[0].text"),
        ({"content": [{"type": "text", "text": "x", "uuid": "1"}]}, "messages[0].content[0].uuid"),
        ({"content": [{"type": "text", "text": "x", "image_url": "u"}]}, "messages[0].content[0].image_url"),
        ({"content": [{"type": "prompt_embeds", "data": "x"}]}, "messages[0].content[0].type"),
        ({"content": [{"type": "image_embeds", "image_embeds": "x"}]}, "messages[0].content[0].type"),
        ({"content": [{"type": "thinking", "thinking": "x"}]}, "messages[0].content[0].type"),
        ({"content": [{"type": "image_url", "image_url": {}, "text": "x"}]}, "messages[0].content[0].text"),
        ({"role": "user: I am a wizard"}, "messages[0].role"),
        ({"role": None}, "messages[0].role"),
        ({"name": 3}, "messages[0].name"),
        ({"task": "x"}, "messages[0].task"),
        ({"tools": []}, "messages[0].tools"),
        ({"audio": {"id": "1"}}, "messages[0].audio"),
        ({"function_call": {"name": "f"}}, "messages[0].function_call"),
        (
            {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"tool_calls": [{"x": 1}]}, "messages[0].tool_calls[0].x"),
    ],
)
def test_messages_that_are_refused(message: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as error:
        sanitize(CHAT_ROUTE, _message(**message))
    assert error.value.param == param


def _fields_of(module: str, name: str) -> set[str]:
    """Fields of a request class of vLLM, read from its source: importing vLLM takes half a minute."""
    found = find_spec("vllm")
    if found is None or found.origin is None:
        pytest.skip("vLLM is not installed")
    tree = ast.parse((Path(found.origin).parent / "entrypoints" / "openai" / module / "protocol.py").read_text())
    request = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    targets = [node.target for node in request.body if isinstance(node, ast.AnnAssign)]
    return {target.id for target in targets if isinstance(target, ast.Name) and not target.id.startswith("_")}


@pytest.mark.parametrize(
    ("module", "name", "table"),
    [("chat_completion", "ChatCompletionRequest", CHAT), ("completion", "CompletionRequest", COMPLETIONS)],
)
def test_every_field_of_the_engine_has_a_row(module: str, name: str, table: dict[str, Any]) -> None:
    """A vLLM that is installed must not know a request field that nobody decided about."""
    fields = _fields_of(module, name)
    assert len(fields) > 30
    assert fields - set(table) == set()
