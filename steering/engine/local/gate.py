"""The fence as ASGI middleware: nothing but `/health` is reached without the gateway's signature."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steering.engine.local.refusal import refusal
from steering.fence import AUTH_HEADER, Fence

MAX_BODY, MAX_PROGRAM = 64 << 20, 512 << 20
"""Bytes of a request, and of one that brings a program: assistants of a logit difference are as large as models."""
NONCE = "lethe.nonce"
"""Key in the ASGI scope under which the nonce of an authentic request is found."""


class FenceMiddleware:
    """Lets authentic requests through, and `/health`. Reads the whole body first, because the signature covers it."""

    def __init__(self, app: ASGIApp, fence: Fence) -> None:
        self.app, self.fence = app, fence

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] == "/health"):
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        body, most = bytearray(), MAX_PROGRAM if scope["method"] == "PUT" else MAX_BODY
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > most:
                await refusal(413, f"the body is larger than {most} bytes")(scope, receive, send)
                return
            if not message.get("more_body"):
                break
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        given = dict(scope["headers"]).get(AUTH_HEADER.encode(), b"").decode("latin-1")
        nonce = self.fence.check(given, scope["method"], target, bytes(body))
        if nonce is None:
            await refusal(401, "unauthorized", "unauthorized")(scope, receive, send)
            return
        pending: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()  # a disconnect still arrives

        await self.app({**scope, NONCE: nonce}, replay, send)
