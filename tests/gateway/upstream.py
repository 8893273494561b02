"""A scripted upstream on a real socket: every byte it sends is chosen by the test, every request is kept."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from steering.fence import ATTESTATION_HEADER, Fence, attest

ENGINE_KEY = "engine-key-of-the-tests"
MODEL = "test-model"
FINGERPRINT = {"id": MODEL, "weights_sha256": "a" * 64, "dtype": "float32", "quantization": None, "hidden_size": 8}


@dataclass
class Seen:
    """One request that arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    nonce: str | None = None
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # the gateway hung up before the answer was over

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


Handler = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def reply(body: bytes | Any, status: int = 200, **headers: str) -> Handler:
    """A whole answer with a content length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def handler(seen: Seen, writer: asyncio.StreamWriter) -> None:
        fields = {"content-type": "application/json", "content-length": str(len(data)), "server": "engine-9"}
        writer.write(head(status, {**fields, **{k.replace("_", "-"): v for k, v in headers.items()}}) + data)

    return handler


def stream(*pieces: bytes | float | asyncio.Event, die: bool = False, headers: dict[str, str] | None = None) -> Handler:
    """Server-sent events: pieces of bytes, pauses in seconds, or events to wait for; then a proper end or none."""

    async def handler(seen: Seen, writer: asyncio.StreamWriter) -> None:
        fields = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked", "x-engine": "9"}
        writer.write(head(200, {**fields, **(headers or {})}))
        for piece in pieces:
            if isinstance(piece, bytes):
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                await writer.drain()
            elif isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                await asyncio.sleep(piece)
        if die:
            writer.transport.abort()
        else:
            writer.write(b"0\r\n\r\n")

    return handler


def pause(seconds: float, then: Handler) -> Handler:
    async def handler(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await then(seen, writer)

    return handler


async def die(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Break the connection before the first byte."""
    writer.transport.abort()


CHAT = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": MODEL,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Ünïcode  answer"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    },
    indent=3,  # unusual bytes, so that re-serialising would show
).encode()


def chunk(text: str, **more: Any) -> bytes:
    frame = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": MODEL,
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        **more,
    }
    return b"data: " + json.dumps(frame).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


class Engine:
    """Scripted engine. `routes` maps "METHOD /path" to a handler; the lethe routes work unless they are replaced."""

    def __init__(self, key: str | None = ENGINE_KEY) -> None:
        self.fence = Fence(key.encode()) if key else None
        self.key = (key or "").encode()
        self.boot, self.programs = "boot-1", dict[str, dict[str, Any]]()
        self.model = dict(FINGERPRINT)
        self.seen: list[Seen] = []
        self.refused: list[str] = []
        self.claims: dict[str, Any] = {}
        self.canary_ok = True
        self.routes: dict[str, Handler] = {
            "GET /v1/models": reply({"object": "list", "data": [{"id": MODEL, "object": "model", "parent": None}]}),
            "GET /health": reply(b""),
            "POST /v1/chat/completions": reply(CHAT),
            "POST /v1/completions": reply(CHAT),
        }
        self.flagged: Handler = reply(CHAT)
        self.attestation: Callable[[Seen], str | None] = self.attest
        self.server: asyncio.Server | None = None
        self.port = 0
        self.connections: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._connection, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            for writer in list(self.connections):
                writer.transport.abort()
            await self.server.wait_closed()
            self.server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, target: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.target == target]

    def attest(self, seen: Seen) -> str | None:
        order = seen.json["lethe"]
        claims = {"nonce": seen.nonce, "program": order["program"], "boot": self.boot, "table": 1, "masked": 1}
        return attest(self.key, {**claims, "edited": [1], "cached": [0], **self.claims})

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            while (line := await reader.readline()).strip():
                method, target, _ = line.decode().split()
                headers: dict[str, str] = {}
                while (field_line := await reader.readline()).strip():
                    name, _, value = field_line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                seen = Seen(method, target, headers, body)
                self.seen.append(seen)
                await self._watched(seen, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections.discard(writer)
            with contextlib.suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()

    async def _watched(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the handler; a hang-up of the gateway ends it."""
        handler = asyncio.create_task(self._handle(seen, writer))

        async def hang_up() -> None:
            while not (reader.at_eof() or writer.transport.is_closing()):
                await asyncio.sleep(0.005)
            if not handler.done():
                seen.closed.set()
                handler.cancel()

        watcher = asyncio.create_task(hang_up())
        try:
            await handler
        except asyncio.CancelledError:
            if not seen.closed.is_set():
                raise
            raise ConnectionError from None
        finally:
            watcher.cancel()

    async def _handle(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        if self.fence is not None and seen.target != "/health":
            value = seen.headers.get("x-lethe-auth", "")
            seen.nonce = self.fence.check(value, seen.method, seen.target.encode(), seen.body)
            if seen.nonce is None:
                self.refused.append(seen.target)
                await reply({"error": {"message": "no"}}, 401)(seen, writer)
                return
        handler = self.routes.get(f"{seen.method} {seen.target}") or self._lethe(seen)
        await handler(seen, writer)

    def _lethe(self, seen: Seen) -> Handler:
        _, _, program = seen.target.partition("/lethe/v1/programs/")
        if seen.method == "GET" and seen.target == "/lethe/v1/programs":
            table = {"boot": self.boot, "table": 1, "ready": True, "model": self.model, "programs": self.programs}
            return reply(table)
        if seen.method == "PUT" and program:
            self.programs[program] = {"digest": hashlib.sha256(seen.body).hexdigest(), "generation": 1}
            return reply({}, 201)
        if seen.target == "/lethe/v1/canary":
            return reply({"ok": True}) if self.canary_ok else reply({"error": {"message": "canary differs"}}, 503)
        if seen.target.startswith("/lethe/v1/") and seen.target.endswith("completions"):
            return self._attested(seen)
        return reply({"detail": "Not Found"}, 404)

    def _attested(self, seen: Seen) -> Handler:
        value = self.attestation(seen)

        async def handler(same: Seen, writer: asyncio.StreamWriter) -> None:
            if value is not None:
                await self.flagged(same, _HeaderInjector(writer, f"{ATTESTATION_HEADER}: {value}\r\n".encode()))  # type: ignore[arg-type]
            else:
                await self.flagged(same, writer)

        return handler


class _HeaderInjector:
    """Adds a line to the head of the answer that a handler writes."""

    def __init__(self, writer: asyncio.StreamWriter, line: bytes) -> None:
        self._writer, self._line, self.transport = writer, line, writer.transport

    def write(self, data: bytes) -> None:
        if self._line:
            first, _, rest = data.partition(b"\r\n")
            data, self._line = first + b"\r\n" + self._line + rest, b""
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()
