"""Outermost layer: request id, counters, and an OpenAI error for whatever nobody caught."""

from __future__ import annotations

import logging
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import ServiceError
from gateway.metrics import Metrics

log = logging.getLogger("lethe.edge")


class Edge:
    """ASGI middleware. `routes` are the paths that have a label of their own in the metrics."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: frozenset[str]) -> None:
        self._app, self._metrics, self._routes = app, metrics, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(16)
        scope["lethe.request_id"] = request_id
        status = 0

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, with_id)
        except Exception as error:  # the traceback may quote a request, so only its innermost place is logged
            log.error(  # noqa: TRY400 - see above
                "request %s failed: %s", request_id, _place(error)
            )
            if status == 0:
                await _internal_error(with_id)
        finally:
            self._metrics.in_flight.dec()
            route = scope["path"] if scope["path"] in self._routes else "other"
            self._metrics.requests.labels(route, status).inc()


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}" if trace is not None else ""
    return type(error).__name__ + where


async def _internal_error(send: Send) -> None:
    body = ServiceError("The gateway failed.").body()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
