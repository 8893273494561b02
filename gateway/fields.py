"""What happens to every field of a request: one table per route, the same for flagged and unflagged requests.

A field that is in no table is refused. A field is allowed only if its strings are scanned (`gateway.conversation`) or
cannot reach the prompt, and if it cannot move, reveal or switch off an intervention.
"""

from __future__ import annotations

from typing import Any

from gateway.checks import (
    Check,
    Fixed,
    Treatment,
    boolean,
    fail,
    mapping,
    one_of,
    one_of_types,
    only,
    required,
    sequence,
    string,
    unsupported,
)


def model_name(value: Any, path: str) -> None:
    """A model must be named: an engine that is free to choose one would choose after the policies were."""
    if type(value) is not str or not value:
        raise fail(path, "must be the name of a model")


def choices(value: Any, path: str) -> None:
    """How many answers to each prompt: an engine that reads `"2"` as 2 would count rows in another way than we do."""
    if value is not None and (type(value) is not int or value < 1):
        raise fail(path, "must be an integer of at least 1")


ROLES = ("system", "developer", "user", "assistant", "tool", "function")
TEXT_PARTS = {"text": "text", "refusal": "refusal"}
"""Type of a readable content part -> the key that holds its text."""

UNSCANNABLE_PARTS = frozenset({"image_url", "input_audio", "audio_url", "video_url", "file"})
_text_parts: dict[str, Check] = {
    kind: mapping({"type": Fixed.ALLOW, key: required(string, "must be a string")}) for kind, key in TEXT_PARTS.items()
}


def content(value: Any, path: str) -> None:
    """A string, None, or a list of content parts."""
    if value is None or type(value) is str:
        return
    if type(value) is not list:
        raise fail(path, "must be a string or a list of content parts")
    for i, part in enumerate(value):
        where = f"{path}[{i}]"
        kind = part.get("type") if type(part) is dict else None
        if type(kind) is not str:
            raise fail(where, "must be an object with a type")
        if kind in TEXT_PARTS:
            if TEXT_PARTS[kind] not in part:
                raise fail(f"{where}.{TEXT_PARTS[kind]}", "must be a string")
            _text_parts[kind](part, where)
        elif kind not in UNSCANNABLE_PARTS:
            raise unsupported(f"{where}.type")
        elif set(part) - {"type", kind}:
            raise unsupported(f"{where}.{min(set(part) - {'type', kind})}")


def schema(value: Any, path: str) -> None:
    """A JSON schema without regular expressions, or None.

    A grammar puts text of the client's choice in front of the answer. Literal strings in it are scanned like the
    prompt, but a pattern spells a name in ways that no scan reads (`H[a]rry`). A property may be called "pattern".
    """
    if isinstance(value, list):
        for i, item in enumerate(value):
            schema(item, f"{path}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            where = f"{path}.{key}"
            if key == "patternProperties" or (key == "pattern" and isinstance(item, str)):
                raise unsupported(where)
            if key in _NAMED_SCHEMAS and isinstance(item, dict):
                for name, one in item.items():
                    schema(one, f"{where}.{name}")
            elif key not in _PLAIN_VALUES:
                schema(item, where)


_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_PLAIN_VALUES = frozenset({"enum", "const", "default", "examples"})


def response_format(value: Any, path: str) -> None:
    """`text`, `json_object`, or `json_schema` without patterns."""
    one_of_types(dict, named="an object")(value, path)
    if value is not None:
        one_of("text", "json_object", "json_schema")(value.get("type"), f"{path}.type")
        schema(value, path)


FUNCTION_CALL = mapping({"name": string, "arguments": string})
TOOL_CALL = required(
    mapping({"id": string, "type": one_of("function"), "index": Fixed.ALLOW, "function": FUNCTION_CALL}),
    "must be an object",
)
MESSAGE: dict[str, Treatment] = {
    "role": required(one_of(*ROLES), f"must be one of {', '.join(ROLES)}"),
    "content": content,
    "name": string,
    "tool_calls": sequence(TOOL_CALL),
    "tool_call_id": string,
    "reasoning": string,
    "reasoning_content": string,
    "refusal": string,
    "annotations": only(([],)),
    "audio": only(()),
    "function_call": only(()),
}
_message = required(mapping(MESSAGE), "must be an object")


def messages(value: Any, path: str) -> None:
    """A non-empty list of messages."""
    if type(value) is not list or not value:
        raise fail(path, "must be a list with at least one message")
    for i, message in enumerate(value):
        _message(message, f"{path}[{i}]")
        if "role" not in message:
            raise fail(f"{path}[{i}].role", f"must be one of {', '.join(ROLES)}")


FUNCTION = mapping({"name": string, "description": string, "parameters": schema, "strict": boolean})
TOOL = required(mapping({"type": one_of("function"), "function": FUNCTION}), "must be an object")


def tool_choice(value: Any, path: str) -> None:
    """`none`, `auto`, `required`, or one function by name."""
    if type(value) is str:
        one_of("none", "auto", "required")(value, path)
    else:
        mapping({"type": one_of("function"), "function": mapping({"name": string})})(value, path)


def prompt(value: Any, path: str) -> None:
    """A string, a list of strings, token ids, or a list of lists of token ids; never empty."""
    if type(value) is str:
        return
    if type(value) is list and value:
        if all(type(item) is str for item in value) or is_token_ids(value):
            return
        if all(type(item) is list and is_token_ids(item) for item in value):
            return
    raise fail(path, "must be a string, a list of strings, a list of token ids or a list of lists of token ids")


def is_token_ids(value: list[Any]) -> bool:
    """Whether it is a non-empty list of non-negative integers."""
    return bool(value) and all(type(item) is int and item >= 0 for item in value)


_SAMPLING: dict[str, Treatment] = {
    "model": model_name,
    "stream": boolean,
    "stream_options": mapping(
        {"include_usage": boolean, "continuous_usage_stats": boolean, "include_obfuscation": boolean}
    ),
    "stream_interval": Fixed.ALLOW,
    "n": choices,
    "max_tokens": Fixed.ALLOW,
    "min_tokens": Fixed.ALLOW,
    "thinking_token_budget": Fixed.ALLOW,
    "temperature": Fixed.ALLOW,
    "top_p": Fixed.ALLOW,
    "top_k": Fixed.ALLOW,
    "min_p": Fixed.ALLOW,
    "seed": Fixed.ALLOW,
    "frequency_penalty": Fixed.ALLOW,
    "presence_penalty": Fixed.ALLOW,
    "repetition_penalty": Fixed.ALLOW,
    "length_penalty": Fixed.ALLOW,
    "logit_bias": Fixed.ALLOW,
    "logprobs": Fixed.ALLOW,
    "allowed_token_ids": Fixed.ALLOW,
    "bad_words": Fixed.ALLOW,
    "stop": Fixed.ALLOW,
    "stop_token_ids": Fixed.ALLOW,
    "include_stop_str_in_output": boolean,
    "ignore_eos": boolean,
    "skip_special_tokens": boolean,
    "spaces_between_special_tokens": boolean,
    "response_format": response_format,
    "structured_outputs": mapping(
        {
            "json": schema,
            "choice": Fixed.ALLOW,
            "json_object": Fixed.ALLOW,
            "disable_any_whitespace": boolean,
            "disable_additional_properties": boolean,
        }
    ),
    "user": string,
    "metadata": one_of_types(dict, named="an object"),
    "store": only((False,)),
    "service_tier": string,
    "safety_identifier": string,
    "prompt_cache_key": string,
    "cache_salt": Fixed.SALT,
    # refused by default: they return the prompt, put text after it, or score text that the client chose
    "echo": Fixed.OPENABLE,
    "logprob_token_ids": Fixed.OPENABLE,
    "prompt_logprobs": Fixed.OPENABLE,
    "return_token_ids": Fixed.OPENABLE,
    "return_tokens_as_token_ids": Fixed.OPENABLE,
    "use_beam_search": Fixed.OPENABLE,
    # refused: they reach into the engine, or move the prompt under a mask that was computed for another one
    "add_special_tokens": Fixed.REFUSE,
    "chat_template": Fixed.REFUSE,
    "documents": Fixed.REFUSE,
    "ec_transfer_params": Fixed.REFUSE,
    "kv_transfer_params": Fixed.REFUSE,
    "lethe": Fixed.REFUSE,
    "logits_processors": Fixed.REFUSE,
    "mm_payload": Fixed.REFUSE,
    "mm_processor_kwargs": Fixed.REFUSE,
    "priority": Fixed.REFUSE,
    "prompt_embeds": Fixed.REFUSE,
    "repetition_detection": Fixed.REFUSE,
    "request_id": Fixed.REFUSE,
    "return_mm_kwargs": Fixed.REFUSE,
    "return_token_offsets": Fixed.REFUSE,
    "routed_experts_prompt_start": Fixed.REFUSE,
    "session_id": Fixed.REFUSE,
    "steer_vector_request": Fixed.REFUSE,
    "steering": Fixed.REFUSE,
    "truncate_prompt_tokens": Fixed.REFUSE,
    "truncation_side": Fixed.REFUSE,
    "vllm_xargs": Fixed.REFUSE,
    "watermarking": Fixed.REFUSE,
}

CHAT: dict[str, Treatment] = {
    **_SAMPLING,
    "messages": messages,
    "max_completion_tokens": Fixed.ALLOW,
    "top_logprobs": Fixed.ALLOW,
    "tools": sequence(TOOL),
    "tool_choice": tool_choice,
    "parallel_tool_calls": boolean,
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "include_reasoning": boolean,
    "continue_final_message": boolean,
    "chat_template_kwargs": mapping({"enable_thinking": boolean, "thinking": boolean}),
    "modalities": only((["text"],)),
    "add_generation_prompt": Fixed.OPENABLE,
    "prediction": Fixed.OPENABLE,
    "return_prompt_text": Fixed.OPENABLE,
    "audio": Fixed.REFUSE,
    "function_call": Fixed.REFUSE,
    "functions": Fixed.REFUSE,
    "media_io_kwargs": Fixed.REFUSE,
    "web_search_options": Fixed.REFUSE,
}

COMPLETIONS: dict[str, Treatment] = {**_SAMPLING, "prompt": prompt, "suffix": Fixed.OPENABLE, "best_of": Fixed.REFUSE}

TOKEN_FIELDS = ("logprob_token_ids", "return_token_ids", "return_tokens_as_token_ids")
"""Fields that make an answer show tokens as numbers, which no output guard reads: closed where there is one."""
STOPPED_BY = "stop_token_ids"
"""A field that makes an answer name the token that ended it by its number: refused where answers are looked at."""

FIELDS: dict[str, dict[str, Treatment]] = {"/v1/chat/completions": CHAT, "/v1/completions": COMPLETIONS}
REQUIRED: dict[str, tuple[str, ...]] = {
    "/v1/chat/completions": ("model", "messages"),
    "/v1/completions": ("model", "prompt"),
}
