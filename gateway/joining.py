"""The second half of an answer in the clothes of the first: a client sees one stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from gateway.holding import Frame, frame_of
from gateway.refusal import TEXT
from gateway.stream import DONE, event


class Joining:
    """Goes on with a stream of which some frames have left.

    `prompt`: tokens of the first prompt; None where no usage is asked for. The engine counts what was said as prompt of
    the second half; the client is told it as part of the answer.
    """

    def __init__(self, left: Sequence[Frame], prompt: int | None) -> None:
        self._prompt = prompt
        self._chunks = [frame.chunk for frame in left if frame.chunk is not None]

    def joined(self, frame: Frame) -> Frame | None:
        """A frame of the second half as one of the first stream; None for a second beginning."""
        if not self._chunks or frame.chunk is None:
            return frame
        chunk = dict(frame.chunk)
        if _begins(chunk):
            return None
        first = self._chunks[0]
        chunk |= {name: first[name] for name in ("id", "created") if name in first}
        if self._prompt is not None and isinstance(chunk.get("usage"), dict):
            total = chunk["usage"]["total_tokens"]
            chunk["usage"] |= {"prompt_tokens": self._prompt, "completion_tokens": total - self._prompt}
        return frame_of(event(orjson.dumps(chunk)))

    def ending(self, said: str, tokens: int) -> bytes:
        """The end of a stream that must not go on: like a refusal, behind what was said.

        `tokens`: those of the answer with the refusal.
        """
        last = self._chunks[-1]
        space = " " if said else ""
        return b"".join(event(orjson.dumps(chunk)) for chunk in self._last(last, space + TEXT, tokens)) + (
            DONE[0] + b"\n\n"
        )

    def _last(self, chunk: dict[str, Any], text: str, tokens: int) -> Iterator[dict[str, Any]]:
        (choice,) = chunk["choices"]
        yield {**chunk, "choices": [{**choice, "delta": {"content": text}}]}
        end = {"finish_reason": "stop", "stop_reason": None}
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
