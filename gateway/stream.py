"""Server-sent events: whole frames out of arbitrary pieces. Bytes may be held for a moment, never rewritten."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.errors import LetheError, UpstreamFailedError

DONE = (b"data: [DONE]", b"data:[DONE]")
MAX_HELD = 1024 * 1024
_FRAME = re.compile(rb".+?(?:\r?\n\r?\n|\Z)", re.DOTALL)


class Frames:
    """Holds the beginning of an event back until its end has come.

    So an upstream that dies in the middle of an event leaves the client with whole events, and an error event can
    follow them.
    """

    def __init__(self) -> None:
        self._held = b""
        self._tail = b""

    def feed(self, piece: bytes) -> bytes:
        """Take a piece, return the whole frames that are there now (maybe nothing). Raises `UpstreamFailedError`."""
        if not self._held and piece.endswith(b"\n\n"):
            self._tail = piece[-32:]
            return piece
        data = self._held + piece
        # a frame ends at an empty line; search only where the new piece can have completed one
        start = max(0, len(self._held) - 3)
        end = max((at + len(mark) for mark in (b"\n\n", b"\n\r\n") if (at := data.rfind(mark, start)) >= 0), default=0)
        if len(data) - end > MAX_HELD:
            raise UpstreamFailedError("The answer broke off.")
        self._held = data[end:]
        if end:
            self._tail = data[max(0, end - 32) : end]
        return data[:end]

    def finish(self) -> tuple[bytes, bool]:
        """What is held at the end of the upstream's answer, and whether the stream was complete.

        Complete means that its last event is `[DONE]`. What follows the last whole event of a broken stream is dropped.
        """
        if rest := self._held.strip():
            complete = rest in DONE
            return (self._held if complete else b""), complete
        return self._held, self._tail.rstrip().endswith(DONE)


def split(frames: bytes) -> Iterator[bytes]:
    """Whole frames one by one, each with the empty line at its end; joined they are the same bytes."""
    if b"\r" not in frames and frames.find(b"\n\n") == len(frames) - 2 >= 1:
        return iter((frames,))  # one frame, as it mostly comes
    return (match[0] for match in _FRAME.finditer(frames))


def data_of(frame: bytes) -> bytes:
    """The data of one frame, lines joined; empty where it has none."""
    return b"\n".join(line[5:] for line in frame.splitlines() if line.startswith(b"data:")).strip()


def only_comments(frames: bytes) -> bool:
    """Whether whole frames hold no event, only comments, which servers send to keep a connection."""
    return all(line.startswith(b":") for line in frames.splitlines() if line)


def event(data: bytes) -> bytes:
    """One event with one line of data."""
    return b"data: " + data + b"\n\n"


def error_event(error: LetheError) -> bytes:
    """What a client gets in the middle of a stream in place of a status."""
    return event(error.body())
