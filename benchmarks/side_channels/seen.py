"""One streamed answer as its client saw it: what was said, in which shape, and when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

from benchmarks.side_channels.questions import Question

_VARYING = frozenset({"created", "prompt_tokens", "completion_tokens", "total_tokens"})
"""Numbers that may differ between any two answers."""
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer.

    Attributes:
        headers: in the order in which they came.
        finish: the finish reason, of a refused request the status.
        fingerprint: `system_fingerprint` of all events.
        prompt_tokens, tokens: as `usage` says; -1 without it.
        events: server-sent events. `shape`: what they look like without their texts and numbers, each look once.
        pieces: reads from the socket until the end.
        logprobs: of the chosen tokens, where they were asked for.
        head, first, total: seconds from sending the request to the response's head, its first byte, and its end.
        stall: longest time between two pieces, in seconds.
    """

    question: Question
    status: int
    headers: Headers
    text: str
    finish: str
    prompt_tokens: int
    tokens: int
    fingerprint: str
    events: int
    shape: tuple[str, ...]
    pieces: int
    logprobs: tuple[float, ...]
    head: float
    first: float
    total: float
    stall: float

    @property
    def request(self) -> str:
        """Its id in the audit log."""
        return dict(self.headers).get("x-request-id", "")

    @property
    def full(self) -> bool:
        """Whether the answer is as long as was allowed."""
        return self.tokens >= int(self.question.body["max_tokens"])


def read(question: Question, status: int, headers: Headers, head: float, pieces: Sequence[tuple[float, bytes]]) -> Seen:
    """Take an answer apart. `pieces`: what came, and when, in seconds since the request was sent.

    Raises `ValueError` for a stream without its end: a broken answer is no measurement.
    """
    raw = b"".join(piece for _, piece in pieces)
    times = [at for at, _ in pieces] or [head]
    if status == 200:
        events = [line[6:] for line in raw.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: ")]
        if not events or events[-1] != b"[DONE]":
            raise ValueError("a stream ended without [DONE]")
    else:
        events = [raw]
    bodies = [orjson.loads(event) for event in events if event != b"[DONE]"]
    choices = [choice for body in bodies for choice in body.get("choices") or ()]
    usage: dict[str, int] = next((body["usage"] for body in reversed(bodies) if body.get("usage")), {})
    scores = [(choice.get("logprobs") or {}).get("content") or () for choice in choices]
    return Seen(
        question=question,
        status=status,
        headers=headers,
        text="".join((choice.get("delta") or {}).get("content") or "" for choice in choices),
        finish=next((str(c["finish_reason"]) for c in choices if c.get("finish_reason")), str(status)),
        prompt_tokens=usage.get("prompt_tokens", -1),
        tokens=usage.get("completion_tokens", -1),
        fingerprint=" ".join(sorted({str(body.get("system_fingerprint")) for body in bodies} - {"None"})),
        events=len(events),
        shape=tuple(dict.fromkeys(map(shape, events))),
        pieces=len(pieces),
        logprobs=tuple(float(one["logprob"]) for part in scores for one in part),
        head=head,
        first=times[0],
        total=times[-1],
        stall=max((b - a for a, b in pairwise(times)), default=0.0),
    )


def shape(event: bytes) -> str:
    """An event without what may differ between any two answers; keys keep their order, and spaces are counted."""
    if event == b"[DONE]":
        return event.decode()
    body = orjson.loads(event)
    return f"{orjson.dumps(_blank(body)).decode()} {len(event) - len(orjson.dumps(body)):+d} bytes"


def _blank(value: Any, key: str = "") -> Any:
    match value:
        case dict():
            return {name: _blank(inner, name) for name, inner in value.items()}
        case list():
            return [_blank(inner, key) for inner in value]
        case str() if key in ("content", "finish_reason", "message", "system_fingerprint"):
            return "*"
        case str() if key == "id":
            return re.sub("[0-9a-f]", "0", value)
        case int() if key in _VARYING:
            return 0
        case _:
            return value
