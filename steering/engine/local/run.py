"""A generation on the worker thread, read from the event loop and sent as server-sent events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from steering.engine.local.generate import Delta
from steering.engine.local.refusal import answer_to
from steering.engine.local.reply import Reply

Started = tuple[int, ...]
"""First event of a generation: how many embeddings were corrupted, per prompt."""

Work = Callable[[Callable[[], bool]], Iterator[Started | Delta]]
"""Runs on the worker thread; asks now and then whether it was cancelled."""


class ClientLeftError(Exception):
    """The client closed the connection before its answer began."""


class Run:
    """One generation on the worker thread, read from the event loop. Stops when closed or when the client leaves."""

    def __init__(self, worker: ThreadPoolExecutor, work: Work, receive: Receive) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.cancelled = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._watch = self._loop.create_task(self._watch_client(receive))
        worker.submit(self._produce, work)

    def _produce(self, work: Work) -> None:
        try:
            for event in work(self.cancelled.is_set):
                self._put(event)
            self._put(None)
        except Exception as error:  # travels to the request that it belongs to
            self._put(error)

    def _put(self, event: Any) -> None:
        with suppress(RuntimeError):  # the loop was closed while the worker was busy: nobody listens any more
            self._loop.call_soon_threadsafe(self.events.put_nowait, event)

    async def _watch_client(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.cancelled.set()

    async def first(self) -> Started:
        """How many embeddings were corrupted; comes when the first prompt has been run."""
        event = await self.events.get()
        if isinstance(event, Exception):
            raise event
        if event is None:
            raise ClientLeftError
        started: Started = event
        return started

    async def __aiter__(self) -> AsyncIterator[Delta]:
        while (event := await self.events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    def close(self) -> None:
        """Stop the generation if it still runs."""
        self.cancelled.set()
        self._watch.cancel()


class EventStream(Response):
    """Server-sent events from an iterator, which is closed in any case."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes], headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self.frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the frames as they come."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for frame in self.frames:
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        finally:
            await self.frames.aclose()
        await send({"type": "http.response.body", "body": b""})


async def frames(run: Run, reply: Reply) -> AsyncGenerator[bytes]:
    """The answer as server-sent events; stops the generation when it is closed."""
    try:
        for chunk in reply.opening():
            yield _frame(chunk)
        async for delta in run:
            if (step := reply.add(delta)) is not None:
                yield _frame(step)
        if reply.job.include_usage:
            yield _frame(reply.usage_chunk())
    except Exception as error:  # the head is out: an error frame is the only way left to say it
        yield b"data: " + bytes(answer_to(error).body) + b"\n\n"
    finally:
        run.close()
    yield b"data: [DONE]\n\n"


def _frame(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
