"""The bytes of an answer -> every text that it shows the client. The bytes themselves are never changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.conversation import joined_strings
from gateway.errors import UpstreamFailedError
from gateway.stream import DONE, data_of, split
from guards.finding import AROUND, BARRIER

SILENT = frozenset(("id", "object", "model", "role", "type", "finish_reason", "system_fingerprint", "service_tier"))
"""Fields whose words the protocol chooses, never the model."""
PIECE = 500_000
"""Characters of one text of alternatives; long answers with many of them become several."""

Path = tuple[str | int, ...]
Step = tuple[str, Sequence[str]]
"""A token of the chosen path and the alternatives that are shown beside it."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """One text of an answer; `choice` is the index of the choice, None for what belongs to none."""

    choice: int | None
    text: str


@dataclass(slots=True)
class _Choice:
    """What the chunks of one choice add up to; `stopped`: the client's string that ended it."""

    texts: dict[Path, list[str]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    stopped: str = ""


def leaving(body: bytes, *, streamed: bool) -> list[Leaving]:
    """Every text of an answer, pieces of a stream put together: all strings of the body wherever they stand, the
    chosen tokens as their log-probabilities spell them, every alternative between its neighbours, and every text with
    the stop string that ended it.

    Raises `UpstreamFailedError` for an answer that is not JSON, or not a stream of JSON.
    """
    around, choices = _Choice(), dict[int | None, _Choice]()
    for chunk in _chunks(body, around) if streamed else (_parsed(body),):
        for key, value in chunk.items():
            if key == "choices" and isinstance(value, list):
                for place, choice in enumerate(value):
                    number = _number(choice, place)
                    into = choices.setdefault(number, _Choice())
                    _add(into, choice, ())
                    if isinstance(choice, dict) and isinstance(choice.get("stop_reason"), str):
                        into.stopped = choice["stop_reason"]
            elif key not in SILENT:
                _add(around, value, (key,))
    every = ((None, around), *choices.items())
    return [Leaving(number, text) for number, choice in every for text in _texts(choice) if text]


def _chunks(body: bytes, around: _Choice) -> Iterator[Mapping[str, Any]]:
    """The events of a stream; lines that are no data are kept as texts."""
    for frame in split(body):
        for line in frame.splitlines():
            if line and not line.startswith(b"data:"):
                around.texts.setdefault((), []).append(line.decode("utf-8", "replace") + "\n")
        whole = data_of(frame)
        if whole and whole != data_of(DONE[0]):
            yield _parsed(whole)


def _parsed(data: bytes) -> Mapping[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise UpstreamFailedError("The engine's answer cannot be read.")
    return value


def _number(item: Any, place: int) -> int:
    """The index that an item gives itself, or its place in the list."""
    index = item.get("index") if isinstance(item, dict) else None
    return index if type(index) is int else place


def _add(into: _Choice, value: Any, path: Path) -> None:
    """Add all strings below a value, those of one place in the order of the chunks."""
    if isinstance(value, str):
        into.texts.setdefault(path, []).append(value)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _add(into, item, (*path, _number(item, place)))
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "logprobs" and isinstance(item, dict):
                into.steps += _steps(item)
            elif key not in SILENT or not isinstance(item, str):
                _add(into, item, (*path, key))


def _steps(shown: Mapping[str, Any]) -> Iterator[Step]:
    """Tokens of a chat's or a completion's log-probabilities."""
    for key in ("content", "refusal"):
        for entry in shown.get(key) or ():
            yield entry["token"], [other["token"] for other in entry.get("top_logprobs") or ()]
    tokens = shown.get("tokens") or ()
    for place, token in enumerate(tokens):
        best = (shown.get("top_logprobs") or [None] * len(tokens))[place]
        yield token, list(best or ())


def _texts(choice: _Choice) -> Iterator[str]:
    for text in map("".join, choice.texts.values()):
        yield text
        if text.lstrip()[:1] in ("{", "["):  # arguments of calls, and contents under a schema: escapes hide words
            with suppress(orjson.JSONDecodeError):
                yield joined_strings(orjson.loads(text))
        if choice.stopped and text != choice.stopped:
            yield text + choice.stopped  # the words that were about to follow
    if choice.steps:
        yield "".join(token for token, _ in choice.steps)
        yield from _alternatives(choice.steps)


def _alternatives(steps: Sequence[Step]) -> Iterator[str]:
    """Every alternative behind the chosen tokens before it, alone and with those after it, texts joined by barriers."""
    tokens = [token for token, _ in steps]
    pieces: list[str] = []
    size = 0
    for at, (token, others) in enumerate(steps):
        before, after = "".join(tokens[max(0, at - AROUND) : at]), "".join(tokens[at + 1 : at + 1 + AROUND])
        for other in others:
            if other != token and any(c.isalnum() for c in other):
                pieces += (before + other, before + other + after)
                size += 2 * (len(before) + len(other)) + len(after)
        if size > PIECE:
            yield BARRIER.join(pieces)
            pieces, size = [], 0
    if pieces:
        yield BARRIER.join(pieces)
