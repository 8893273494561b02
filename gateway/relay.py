"""The engine's answer on its way to the client: the bytes of the engine, and no headers but a fixed few."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.disconnect import ClientGoneError, UntilDisconnect
from gateway.errors import LetheError, UpstreamFailedError
from gateway.stream import Frames, error_event
from gateway.upstream import Reply

STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class StreamRelay(Response):
    """Server-sent events, forwarded as they come.

    A stream that ends without `[DONE]` is followed by one error event. `finished` is called once with what went wrong,
    or None, also when the client leaves.
    """

    def __init__(self, reply: Reply, finished: Callable[[str | None], None]) -> None:
        super().__init__(None, 200, {**STREAM_HEADERS, "content-type": reply.content_type})
        del self.headers["content-length"]
        self._reply, self._finished = reply, finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay until the end, the client's or the engine's."""
        outcome: str | None = "aborted"
        try:
            async with UntilDisconnect(receive):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                outcome = await self._relay(send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except ClientGoneError:
            outcome = "client gone"
        finally:
            self._reply.close()
            self._finished(outcome)

    async def _relay(self, send: Send) -> str | None:
        frames = Frames()
        error: LetheError | None = None
        try:
            async with aclosing(self._reply.pieces()) as pieces:
                async for piece in pieces:
                    if whole := frames.feed(piece):
                        await send({"type": "http.response.body", "body": whole, "more_body": True})
        except LetheError as broken:
            error = broken
        rest, complete = frames.finish()
        if error is None and not complete:
            error = UpstreamFailedError("The engine ended the answer too early.")
        if error is not None:
            rest = error_event(error)
        if rest:
            await send({"type": "http.response.body", "body": rest, "more_body": True})
        return error.code if error is not None else None
