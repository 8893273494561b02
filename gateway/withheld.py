"""An answer that is held back as a whole until it has been looked at."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from gateway.errors import UpstreamFailedError
from gateway.leaving import Leaving, leaving
from gateway.relay import STREAM_HEADERS
from gateway.stream import Frames
from gateway.upstream import Reply

MAX_BYTES = 256 * 1024 * 1024
"""Largest answer that is held; log-probabilities of many tokens take some hundred bytes a token and alternative."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """A whole answer. What leaves are the bytes that the engine sent."""

    body: bytes
    content_type: str
    streamed: bool

    def texts(self) -> list[Leaving]:
        """What it shows the client. Raises `UpstreamFailedError` where that cannot be told."""
        return leaving(self.body, streamed=self.streamed)

    def response(self) -> Response:
        """The answer, with the headers that it has when it is relayed as it comes."""
        headers = STREAM_HEADERS if self.streamed else {}
        response = Response(self.body, 200, {**headers, "content-type": self.content_type})
        if self.streamed:
            del response.headers["content-length"]
        return response


async def withhold(reply: Reply) -> Withheld:
    """Read an answer to its end. Raises `UpstreamFailedError` and `UpstreamTimeoutError`.

    A stream that breaks off is answered with an error's own status, like one that breaks before its first event: no
    byte of it has left. The connection is given back or closed in every case.
    """
    frames, held, size = Frames(), [], 0
    try:
        async for piece in reply.pieces():
            size += len(piece)
            if size > MAX_BYTES:
                raise UpstreamFailedError("The engine's answer is too long.")
            held.append(frames.feed(piece) if reply.streamed else piece)
        if reply.streamed:
            rest, complete = frames.finish()
            if not complete:
                raise UpstreamFailedError("The engine ended the answer too early.")
            held.append(rest)
    finally:
        reply.close()
    return Withheld(b"".join(held), reply.content_type, reply.streamed)
