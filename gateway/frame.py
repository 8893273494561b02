"""One frame of a stream of server-sent events, and what it adds to the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from gateway.leaving import SILENT
from gateway.stream import DONE, data_of

PROBE = "\0"
"""What no answer says."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        data: the bytes that leave.
        text: what it adds to the content.
        event: whether it holds a chunk; not so comments and `[DONE]`.
        plain: whether it shows a piece of content and nothing else.
        closing: whether it belongs to the end of the answer.
    """

    data: bytes
    text: str
    event: bool
    plain: bool
    closing: bool


def chunk_of(data: bytes) -> dict[str, Any] | None:
    """The chunk in a frame; None where there is none."""
    try:
        chunk = orjson.loads(data_of(data))
    except orjson.JSONDecodeError:
        return None
    return chunk if isinstance(chunk, dict) else None


def frame_of(data: bytes) -> Frame:
    """Read one frame; what is no event in the shape of a chat's chunk is not plain."""
    event = data_of(data)
    if not event:
        return Frame(data, "", event=False, plain=True, closing=False)
    if event == data_of(DONE[0]):
        return Frame(data, "", event=False, plain=True, closing=True)
    chunk = chunk_of(data)
    if chunk is None:
        return Frame(data, "", event=False, plain=False, closing=False)
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(delta, dict):
        return Frame(data, "", event=True, plain=choices == [], closing=True)
    text = delta.get("content") or ""
    shown = [
        *(value for key, value in chunk.items() if key not in (*SILENT, "created", "choices", "usage")),
        *(value for key, value in choice.items() if key not in ("index", "delta", "finish_reason", "stop_reason")),
        *(value for key, value in delta.items() if key not in ("role", "content")),
    ]
    plain = isinstance(text, str) and choice.get("index") == 0 and all(value in (None, [], "") for value in shown)
    plain = plain and not isinstance(choice.get("stop_reason"), str)
    return Frame(data, text if plain else "", event=True, plain=plain, closing=choice.get("finish_reason") is not None)


class FrameReader:
    """Reads the frames of one stream like `frame_of`.

    Most of them differ in their piece of content only: of a frame whose bytes around that piece are those of an earlier
    one nothing else is read. A JSON string in place of another leaves the rest of a text what it was.
    """

    def __init__(self) -> None:
        self._head = self._tail = b""

    def read(self, data: bytes) -> Frame:
        """Read the next frame."""
        if self._tail and data.startswith(self._head) and data.endswith(self._tail):
            try:
                text = orjson.loads(data[len(self._head) : -len(self._tail)])
            except orjson.JSONDecodeError:
                text = None
            if isinstance(text, str):
                return Frame(data, text, event=True, plain=True, closing=False)
        frame = frame_of(data)
        if frame.text and not frame.closing:
            self._learn(frame)
        return frame

    def _learn(self, frame: Frame) -> None:
        """Keep what is around the content, if another content in that place is what the frame then says."""
        head, found, tail = frame.data.rpartition(orjson.dumps(frame.text))
        other = frame.text + PROBE
        data = head + orjson.dumps(other) + tail
        if found and tail and frame_of(data) == Frame(data, other, event=True, plain=True, closing=False):
            self._head, self._tail = head, tail
