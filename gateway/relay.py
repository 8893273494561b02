"""The engine's answer on its way to the client: the bytes of the engine, and no headers but a fixed few."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.disconnect import ClientGoneError, UntilDisconnect
from gateway.errors import LetheError, UpstreamFailedError
from gateway.stream import Frames, error_event, only_comments

STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class Source(Protocol):
    """What is relayed: a `gateway.upstream.Reply`, or a `gateway.watching.WatchedStream`."""

    @property
    def content_type(self) -> str:
        """The media type with its parameters."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The stream as it comes. Raises `LetheError`."""

    def close(self) -> None:
        """Drop the connection unless the stream was read to its end."""


class StreamRelay(Response):
    """Server-sent events, forwarded as they come.

    The head leaves with the first event: that of a flagged answer cannot leave before its attestation, and a client
    with a stop-watch must not see the difference. A stream that breaks before that is answered with the error's own
    status; one that ends later without `[DONE]` is followed by one error event. `finished` is called once with the
    status and what went wrong, or None, also when the client leaves.
    """

    def __init__(self, reply: Source, finished: Callable[[int, str | None], None]) -> None:
        super().__init__(None, 200, {**STREAM_HEADERS, "content-type": reply.content_type})
        del self.headers["content-length"]
        self._reply, self._finished, self._opened = reply, finished, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay until the end, the client's or the engine's."""
        outcome: str | None = "aborted"
        status = 500
        try:
            async with UntilDisconnect(receive):
                error = await self._relay(send)
                outcome = None if error is None else error.code
                if error is not None and not self._opened:
                    status = error.status
                    failed = Response(error.body(), status, media_type="application/json")
                    await failed(scope, receive, send)
                else:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        except ClientGoneError:
            outcome, status = "client gone", 499
        finally:
            self._reply.close()
            self._finished(200 if self._opened else status, outcome)

    async def _relay(self, send: Send) -> LetheError | None:
        """Relay all events; returns what broke the stream, which the client is told here if the head has left."""
        frames, held = Frames(), b""
        error: LetheError | None = None

        async def forward(data: bytes) -> None:
            if not self._opened:
                self._opened = True
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": data, "more_body": True})

        try:
            async with aclosing(self._reply.pieces()) as pieces:
                async for piece in pieces:
                    if whole := frames.feed(piece):
                        if not self._opened and only_comments(held + whole):
                            held += whole
                            continue
                        await forward(held + whole)
                        held = b""
        except LetheError as broken:
            error = broken
        rest, complete = frames.finish()
        if error is None and not complete:
            error = UpstreamFailedError("The engine ended the answer too early.")
        if error is not None:
            rest = error_event(error)
        if self._opened and rest:
            await forward(rest)
        elif not self._opened and error is None:
            await forward(held + rest)
        return error
