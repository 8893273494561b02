"""Sanitised body -> every text that can reach the prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.fields import TEXT_PARTS, is_token_ids
from guards.finding import CANDIDATES
from guards.verdict import TextPart

Detokenize = Callable[[list[int]], Awaitable[str]]
"""Token ids -> the text they stand for."""

TOOL_DEFINITION, TOOL_DESCRIPTION = "tool_definition", "tool_description"
PROSE = frozenset(["description", "title", "const", "enum", "default", "examples", "choice"])
"""Keys of a schema below which clients can write sentences."""


@dataclass(slots=True)
class Conversation:
    """What the guards see of a request.

    Attributes:
        parts: all texts in the order of the body.
        maskable: numbers of the parts that the template carries literally, so that spans in them can be corrupted.
        unscannable: paths of images, audio and other content that cannot be read.
        first_user_text: first text of the first user turn (or prompt); what sticks through a conversation.
    """

    parts: list[TextPart] = field(default_factory=list)
    maskable: set[int] = field(default_factory=set)
    unscannable: list[str] = field(default_factory=list)
    first_user_text: str = ""

    def add(self, path: str, role: str, text: str, *, maskable: bool = False) -> None:
        """Append a text; an empty one is nothing to look at."""
        if not text:
            return
        if maskable:
            self.maskable.add(len(self.parts))
        if role == "user" and not self.first_user_text:
            self.first_user_text = text
        self.parts.append(TextPart(path, role, text))


async def collect(body: dict[str, Any], detokenize: Detokenize) -> Conversation:
    """Collect all texts of a sanitised chat or completion body. Raises what `detokenize` raises."""
    conversation = Conversation()
    for i, message in enumerate(body.get("messages") or ()):
        _add_message(conversation, f"/messages/{i}", message)
    await _add_prompts(conversation, body.get("prompt"), detokenize)
    for i, tool in enumerate(body.get("tools") or ()):
        _add_schema(conversation, f"/tools/{i}", tool)
    for name in ("tool_choice", "response_format", "structured_outputs"):
        if isinstance(body.get(name), dict):
            _add_schema(conversation, f"/{name}", body[name])
    for name in ("suffix", "prediction"):
        if body.get(name) is not None:
            conversation.add(f"/{name}", "assistant", joined_strings(body[name]))
    return conversation


def _add_message(conversation: Conversation, path: str, message: dict[str, Any]) -> None:
    role = message["role"]
    content = message.get("content")
    if isinstance(content, str):
        conversation.add(f"{path}/content", role, content, maskable=True)
    for i, part in enumerate(content if isinstance(content, list) else ()):
        key = TEXT_PARTS.get(part["type"])
        if key is None:
            conversation.unscannable.append(f"{path}/content/{i}")
        else:
            conversation.add(f"{path}/content/{i}/{key}", role, part[key], maskable=key == "text")
    for key, value in message.items():
        if key not in ("role", "content"):
            for pointer, text in strings(f"{path}/{key}", value):
                conversation.add(pointer, role, text)
    for i, call in enumerate(message.get("tool_calls") or ()):
        arguments = (call.get("function") or {}).get("arguments")
        if arguments:
            # the engine decodes the arguments before it renders them: escapes in them must not hide a name
            _add_decoded(conversation, f"{path}/tool_calls/{i}/function/arguments", role, arguments)


def _add_schema(conversation: Conversation, path: str, value: Any) -> None:
    """Add a schema as a whole, for names in its keys and over its strings, and every string of prose by itself."""
    conversation.add(path, TOOL_DEFINITION, joined_strings(value))
    for pointer, text in prose(path, value):
        conversation.add(pointer, TOOL_DESCRIPTION, text)
    for pointer, names in properties(path, value):
        if len(names) >= CANDIDATES:
            conversation.add(pointer, TOOL_DEFINITION, "\n".join(names))


def _add_decoded(conversation: Conversation, path: str, role: str, text: str) -> None:
    try:
        decoded = joined_strings(orjson.loads(text))
    except orjson.JSONDecodeError:
        return  # not JSON: no engine decodes it, and the raw text is scanned anyway
    conversation.add(path, role, decoded)


async def _add_prompts(conversation: Conversation, prompt: Any, detokenize: Detokenize) -> None:
    if isinstance(prompt, str):
        conversation.add("/prompt", "user", prompt, maskable=True)
    elif isinstance(prompt, list):
        if is_token_ids(prompt):
            conversation.add("/prompt", "user", await detokenize(prompt), maskable=True)
            return
        for i, item in enumerate(prompt):
            text = item if isinstance(item, str) else await detokenize(item)
            conversation.add(f"/prompt/{i}", "user", text, maskable=True)


def strings(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every string below a value with its JSON pointer (RFC 6901); `type` tags of a fixed vocabulary are left out."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from strings(f"{path}/{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key != "type":
                yield from strings(f"{path}/{_escaped(key)}", item)


def prose(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every string below a key of PROSE with its JSON pointer, in the order of the body."""
    stack = [(path, value, False)]  # no recursion: schemata may be nested as deeply as the parser lets them
    while stack:
        pointer, node, found = stack.pop()
        if isinstance(node, str):
            if found:
                yield pointer, node
        elif isinstance(node, list):
            stack += reversed([(f"{pointer}/{i}", item, found) for i, item in enumerate(node)])
        elif isinstance(node, dict):
            stack += reversed(
                [(f"{pointer}/{_escaped(key)}", item, found or key in PROSE) for key, item in node.items()]
            )


def properties(path: str, value: Any) -> Iterator[tuple[str, list[str]]]:
    """The names of the properties of every object of a schema, with the JSON pointer of `properties`."""
    stack = [(path, value)]
    while stack:
        pointer, node = stack.pop()
        if isinstance(node, list):
            stack += reversed([(f"{pointer}/{i}", item) for i, item in enumerate(node)])
        elif isinstance(node, dict):
            stack += reversed([(f"{pointer}/{_escaped(key)}", item) for key, item in node.items()])
            if isinstance(node.get("properties"), dict):
                yield f"{pointer}/properties", list(node["properties"])


def joined_strings(value: Any) -> str:
    """All strings and all keys below a value, one a line: a schema as the guards read it."""
    lines: list[str] = []
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            lines.append(node)
        elif isinstance(node, list):
            stack.extend(reversed(node))
        elif isinstance(node, dict):
            for key, item in reversed(node.items()):
                stack += (item, key)
    return "\n".join(lines)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
