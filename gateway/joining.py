"""The second half of an answer in the clothes of the first: a client sees one stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import orjson

from gateway.frame import Frame, chunk_of, frame_of
from gateway.stream import DONE, event


class Joining:
    """Goes on with a stream of which some frames have left.

    `first`, `last`: the first and the last of them that hold a chunk; empty where none has left.
    `prompt`: tokens of the first prompt; None where no usage is asked for. The engine counts what was said as prompt of
    the second half; the client is told it as part of the answer.
    """

    def __init__(self, first: bytes, last: bytes, prompt: int | None) -> None:
        self._prompt = prompt
        self._first, self._last = chunk_of(first), chunk_of(last)

    def joined(self, frame: Frame) -> Frame | None:
        """A frame of the second half as one of the first stream; None for a second beginning.

        What is no chunk of an answer, like an engine's error, stays as it is: it has no id to be replaced.
        """
        first, chunk = self._first, chunk_of(frame.data) if self._first and frame.event else None
        if not first or chunk is None or "choices" not in chunk:
            return frame
        if _begins(chunk):
            return None
        chunk |= {name: first[name] for name in ("id", "created") if name in first and name in chunk}
        if self._prompt is not None and isinstance(chunk.get("usage"), dict):
            total = chunk["usage"]["total_tokens"]
            chunk["usage"] |= {"prompt_tokens": self._prompt, "completion_tokens": total - self._prompt}
        return frame_of(event(orjson.dumps(chunk)))

    def ending(self, text: str, reason: Literal["stop", "length"], tokens: int) -> bytes:
        """The end of a stream that does not go on, with a last piece of text; `tokens`: those of the whole answer.

        A chunk must have left.
        """
        if self._last is None:
            raise ValueError("no chunk has left whose stream could end")
        chunks = self._ending(self._last, text, reason, tokens)
        return b"".join(event(orjson.dumps(chunk)) for chunk in chunks) + DONE[0] + b"\n\n"

    def _ending(self, chunk: dict[str, Any], text: str, reason: str, tokens: int) -> Iterator[dict[str, Any]]:
        (choice,) = chunk["choices"]
        if text:
            yield {**chunk, "choices": [{**choice, "delta": {"content": text}}]}
        end = {"finish_reason": reason, "stop_reason": None}
        yield {**chunk, "choices": [{**choice, "delta": {"content": ""}, **end}]}
        if self._prompt is not None:
            total = self._prompt + tokens
            usage = {"prompt_tokens": self._prompt, "total_tokens": total, "completion_tokens": tokens}
            yield {**chunk, "choices": [], "usage": usage}


def _begins(chunk: dict[str, Any]) -> bool:
    """Whether a chunk says who speaks, and nothing yet."""
    choices = chunk.get("choices") or [{}]
    delta = choices[0].get("delta") or {}
    return "role" in delta and not delta.get("content") and choices[0].get("finish_reason") is None
