"""The engine behind the gateway: one pooled client, signed requests, time-outs, errors in our own words."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp
import orjson
from yarl import URL

from gateway.errors import (
    LetheError,
    UpstreamFailedError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from gateway.settings import UpstreamSettings
from steering.fence import AUTH_HEADER, sign
from steering.plan import LETHE_ROUTES

KEEP_ALIVE = 3.0
"""Seconds an idle connection is kept: less than the 5 s after which uvicorn, and with it vLLM, closes its end."""

LARGE_BODY = 1 << 20


@dataclass(slots=True)
class Reply:
    """An answer that has begun: status and headers are here, the body is not."""

    status: int
    headers: Mapping[str, str]
    nonce: str | None
    _response: aiohttp.ClientResponse
    _patience: float

    @property
    def content_type(self) -> str:
        """The media type with its parameters, as sent."""
        return self.headers.get("content-type", "application/json")

    @property
    def streamed(self) -> bool:
        """Whether these are server-sent events."""
        return self.content_type.startswith("text/event-stream")

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises `UpstreamFailedError` and `UpstreamTimeoutError`."""
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(None) as limit:
                while True:
                    limit.reschedule(clock() + self._patience)
                    piece = await self._response.content.readany()
                    limit.reschedule(None)  # the client may take its time over the piece
                    if not piece:
                        return
                    yield piece
        except aiohttp.ClientError:
            raise UpstreamFailedError("The engine broke the answer off.") from None
        except TimeoutError:
            raise UpstreamTimeoutError("The engine stopped in the middle of the answer.") from None

    async def read(self) -> bytes:
        """The whole body. Raises like `pieces`; the connection is given back or closed in every case."""
        try:
            return b"".join([piece async for piece in self.pieces()])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection, which makes the engine stop generating, unless the body was read to its end."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Upstream:
    """Async context manager that owns the connections."""

    def __init__(self, settings: UpstreamSettings) -> None:
        key = settings.engine_key
        self.key = key.get_secret_value().encode() if key else None
        self._base, self._timeouts = settings.base, settings.timeouts
        self._session: aiohttp.ClientSession | None = None
        self._urls = {
            path: URL(self._base + path, encoded=True) for bare, own in LETHE_ROUTES.items() for path in (bare, own)
        }
        self._headers = {"Content-Type": "application/json", "Accept": "*/*", "Accept-Encoding": "identity"}

    async def __aenter__(self) -> Upstream:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent",),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, method: str, path: str, body: bytes = b"", patience: float | None = None) -> Reply:
        """Send a request and wait for the head of the answer, whatever its status.

        `patience` replaces the first-byte time-out. One retry, only where no connection came about. Raises
        `UpstreamUnreachableError`, `UpstreamTimeoutError` or `UpstreamFailedError`.
        """
        try:
            return await self._attempt(method, path, body, patience)
        except UpstreamUnreachableError:
            return await self._attempt(method, path, body, patience)

    async def _attempt(self, method: str, path: str, body: bytes, patience: float | None) -> Reply:
        if self._session is None:
            raise RuntimeError("the upstream is used outside of its context")
        headers, nonce = self._headers, None
        if self.key is not None:
            value, nonce = sign(self.key, method, path, body)
            headers = {**headers, AUTH_HEADER: value}
        data = io.BytesIO(body) if len(body) >= LARGE_BODY else body or None
        try:
            async with asyncio.timeout(patience or self._timeouts.first_byte):
                response = await self._session.request(
                    method, self._url(path), data=data, headers=headers, allow_redirects=False
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise UpstreamUnreachableError("The engine cannot be reached.") from None
        except TimeoutError:
            raise UpstreamTimeoutError("The engine did not answer in time.") from None
        except aiohttp.ClientError:
            raise UpstreamFailedError("The engine broke the connection off.") from None
        return Reply(response.status, response.headers, nonce, response, self._timeouts.between_bytes)

    def _url(self, path: str) -> URL:
        """Address of a route, exactly as it is signed."""
        url = self._urls.get(path)
        return URL(self._base + path, encoded=True) if url is None else url

    async def call(self, method: str, path: str, body: bytes = b"", patience: float | None = None) -> tuple[int, bytes]:
        """Send a request and read the whole answer. Raises like `send` and `Reply.read`."""
        reply = await self.send(method, path, body, patience)
        return reply.status, await reply.read()

    async def detokenize(self, model: str, tokens: list[int]) -> str:
        """Text of token ids. Raises `LetheError`."""
        status, data = await self.call("POST", "/detokenize", orjson.dumps({"model": model, "tokens": tokens}))
        if status != 200:
            raise failure(status, data)
        text = json_object(data).get("prompt")
        if not isinstance(text, str):
            raise UpstreamFailedError("The engine did not say which text the token ids stand for.")
        return text


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object from the engine, or an empty one where it sent something else."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def failure(status: int, body: bytes) -> LetheError:
    """The error a client gets for an engine's answer that is not a 200.

    4xx errors about the request are repeated; anything else may hold internals and is described in our own words.
    """
    if status in (401, 403):
        return UpstreamFailedError("The engine does not accept the gateway.")
    if 400 <= status < 500:
        error = json_object(body).get("error")
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            param, code = error.get("param"), error.get("code")
            return UpstreamRejectedError(
                status,
                error["message"][:2000],
                param if isinstance(param, str) else None,
                code if isinstance(code, str) else None,
            )
        return UpstreamFailedError("The engine does not know this request.")
    if status == 503:
        return UpstreamUnreachableError("The engine is not available at present.")
    if status == 504:
        return UpstreamTimeoutError("The engine did not answer in time.")
    return UpstreamFailedError("The engine failed.")
