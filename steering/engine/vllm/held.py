"""The response of a flagged request: its head is held back until the workers have attested the edit."""

from __future__ import annotations

from typing import Any

from steering.engine.vllm.ticket import Refusal, Ticket
from steering.fence import ATTESTATION_HEADER, attest

UNATTESTED = "the edit was not attested"


class Abort(Exception):  # noqa: N818 - control flow: ends the handler, which aborts the request in the engine
    """Raised inside `send`."""


class HeldResponse:
    """ASGI `send` that releases nothing of a 200 before the attestation, and cuts the answer if one is missing later.

    A cut stream has no `[DONE]`, so the gateway cannot mistake it for a finished answer.
    """

    def __init__(self, ticket: Ticket, send: Any, key: bytes) -> None:
        self.ticket, self.send, self.key = ticket, send, key
        self.head: dict[str, Any] | None = None
        self.held: list[dict[str, Any]] = []
        self.open = False

    async def __call__(self, message: dict[str, Any]) -> None:
        """Take one ASGI message of vLLM's response."""
        ticket = self.ticket
        if ticket.refusal is not None:
            raise Abort
        if message["type"] == "http.response.start":
            self.head = message
            return
        if self.head is None:
            raise Abort
        body, last = message.get("body", b""), not message.get("more_body")
        if self.open or self.head["status"] != 200:
            failed = "ok" if self.head["status"] != 200 and not ticket.records else ticket.verdict(complete=False)
            if self.head["status"] == 200 and last:
                failed = ticket.verdict(complete=True)
            if failed != "ok":
                self._refuse(failed)
            await self._release(message)
            return
        if not last and (not body or body.startswith(b":")):  # nothing yet, or a keep-alive comment
            self.held.append(message)
            return
        # A stream is open as soon as the first choices are attested; a plain answer only when all of them are.
        failed = ticket.verdict(complete=last)
        if failed == "ok" and not ticket.records:
            failed = "no record"
        if failed != "ok":
            self._refuse(failed)
        note = (ATTESTATION_HEADER.encode(), attest(self.key, ticket.claims()).encode())
        self.head = {**self.head, "headers": [*self.head["headers"], note]}
        await self._release(message)

    def _refuse(self, reason: str) -> None:
        self.ticket.refusal = Refusal(503, f"{UNATTESTED}: {reason}", "lethe_attestation")
        raise Abort

    async def _release(self, message: dict[str, Any]) -> None:
        if not self.open:
            self.open = True
            await self.send(self.head)
            for held in self.held:
                await self.send(held)
        await self.send(message)
