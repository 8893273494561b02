"""Every text that an answer shows its client, whatever field it stands in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_KINDS = {"content": "content", "text": "content", "refusal": "refusal", "arguments": "tool_arguments"}
_KINDS |= {"input": "tool_arguments", "name": "tool_name"}
_FIXED = frozenset(("id", "type", "role", "name", "object", "finish_reason", "stop_reason"))
"""Strings that a stream sends whole, possibly again; all others are sent in pieces."""
_PROTOCOL = frozenset(("assistant", "function", "stop", "length", "tool_calls", "content_filter"))
"""What `_FIXED` strings always say: no text, although a value may be spelled like it (the job "assistant")."""
_NUMBER = re.compile(r"(?:chatcmpl|cmpl|call|chatcmpl-tool)-[0-9a-f]{16,32}(?:-[0-9a-f]{8})?")
"""An id that the engine drew: to decode every one of them takes longer than to read the answers."""
_THINK = re.compile(r"<think>(.*?)(?:</think>|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Surface:
    """One text.

    Attributes:
        choice: its index, None for what belongs to no choice.
        kind: content, think (inside `<think>`), reasoning, refusal, tool_name, tool_arguments, tokens (the chosen
            tokens as the log-probabilities spell them), header, or other (any other string of the body).
    """

    choice: int | None
    kind: str
    text: str


def surfaces(response: Mapping[str, Any]) -> tuple[Surface, ...]:
    """Texts of a response body of a chat or text completion; other shapes are read too, as texts of no choice.

    Every string of the body is in it except random ids and alternatives of log-probabilities, which `beam` reads. A
    stream must be put together by `assembled` first.
    """
    found = list(_texts({k: v for k, v in response.items() if k != "choices"}, None, ()))
    for place, choice in enumerate(response.get("choices") or ()):
        found += _texts(choice, choice.get("index", place), ())
        found += [Surface(choice.get("index", place), "tokens", "".join(t)) for t in _chosen(choice)]
    return tuple(s for s in found if s.text)


def header_surfaces(headers: Mapping[str, str]) -> tuple[Surface, ...]:
    """Names and values of response headers."""
    return tuple(Surface(None, "header", f"{name}: {value}") for name, value in headers.items())


def assembled(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The body that a stream of chunks adds up to; what differs between chunks outside of choices becomes a list."""
    choices: dict[int, dict[str, Any]] = {}
    around: dict[str, list[Any]] = {}
    for chunk in chunks:
        for key, value in chunk.items():
            if key != "choices" and value not in around.setdefault(key, []):
                around[key].append(value)
        for place, choice in enumerate(chunk.get("choices") or ()):
            index = choice.get("index", place)
            piece = {"message" if key == "delta" else key: value for key, value in choice.items()}
            _add(choices.setdefault(index, {}), {**piece, "index": index})
    body = {key: values[0] if len(values) == 1 else values for key, values in around.items()}
    return {**body, "choices": [choices[index] for index in sorted(choices)]}


def thinking(content: str) -> tuple[str, str]:
    """(thought, said) of a content with `<think>` tags; either tag may be missing, as templates open it themselves."""
    if "</think>" in content and "<think>" not in content.partition("</think>")[0]:
        content = "<think>" + content
    return "\n".join(_THINK.findall(content)), _THINK.sub("", content)


def _texts(value: Any, choice: int | None, path: tuple[str, ...]) -> Iterator[Surface]:
    match value:
        case str() if path[-1] == "id" and _NUMBER.fullmatch(value):
            return
        case str() if value not in _PROTOCOL or path[-1] not in _FIXED:
            kind = _kind(path)
            if kind == "content" and "think>" in value:
                thought, value = thinking(value)
                yield Surface(choice, "think", thought)
            yield Surface(choice, kind, value)
        case Mapping():
            for key, inner in value.items():
                if key not in ("logprobs", "prompt_logprobs"):
                    yield from _texts(inner, choice, (*path, key))
        case list() | tuple():
            for inner in value:
                yield from _texts(inner, choice, path)


def _kind(path: tuple[str, ...]) -> str:
    if any(key.startswith("reasoning") for key in path):
        return "reasoning"
    kind = next((_KINDS[key] for key in path if key in _KINDS), "other")
    called = "tool_calls" in path or "function_call" in path
    return "other" if kind.startswith("tool_") and not called else kind


def _chosen(choice: Mapping[str, Any]) -> Iterator[list[str]]:
    shown = choice.get("logprobs") or {}
    for key in ("content", "refusal"):
        yield [entry["token"] for entry in shown.get(key) or ()]
    yield list(shown.get("tokens") or ())


def _add(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    for key, value in piece.items():
        before = whole.get(key)
        match value:
            case None:
                whole.setdefault(key, None)
            case str() if isinstance(before, str) and key not in _FIXED:
                whole[key] = before + value
            case str() if isinstance(before, str) and value not in ("", before):
                whole[key] = f"{before} {value}"
            case str():
                whole[key] = before or value
            case Mapping():
                whole[key] = before if isinstance(before, dict) else {}
                _add(whole[key], value)
            case list():
                whole[key] = before if isinstance(before, list) else []
                _extend(whole[key], value)
            case _:
                whole[key] = value


def _extend(whole: list[Any], pieces: list[Any]) -> None:
    """Append, or put into the entry with the same index, as tool calls are streamed."""
    for piece in pieces:
        index = piece.get("index") if isinstance(piece, Mapping) else None
        entry = next((e for e in whole if index is not None and e.get("index") == index), None)
        if entry is None and isinstance(piece, Mapping):
            whole.append(entry := {})
        if entry is None:
            whole.append(piece)
        else:
            _add(entry, piece)
