"""One flagged request on its way through the API process, and what must hold before a byte of its answer leaves."""

from __future__ import annotations

import contextvars
from dataclasses import dataclass, field
from typing import Any

from steering.engine.order import Order
from steering.engine.prompts import Prompt


class Refusal(Exception):  # noqa: N818 - it is an answer, not a programming error
    """An error answer: status, message for the gateway's operator, machine-readable code."""

    def __init__(self, status: int, message: str, code: str = "lethe_invalid_request") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code

    def body(self) -> dict[str, Any]:
        """OpenAI-shaped error body."""
        return {"error": {"message": self.message, "type": self.code, "param": None, "code": self.code}}


@dataclass(slots=True)
class Ticket:
    """State of one flagged request.

    `expected` maps the id of every prompt's request to its number of masked tokens; `records` maps the ids of the
    engine's requests (several per prompt when n > 1) to what the workers attest. `templated`: the last token of the
    prompt is the chat template's; false where the prompt ends with words of the client's choice.
    """

    nonce: str
    order: Order
    generation: int
    prompts: list[Prompt]  # rendered text and its windows; token ids are decoded at admission
    choices: int  # n
    templated: bool
    expected: dict[str, int] = field(default_factory=dict)
    records: dict[str, list[Any]] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    missing: bool = False
    refusal: Refusal | None = None

    def verdict(self, *, complete: bool) -> str:
        """'ok', or what is wrong. `complete`: every choice of every prompt must have been attested by now."""
        if self.missing:
            return "an answer came without a record"
        if complete and len(self.records) != self.choices * len(self.expected):
            return f"{len(self.records)} records for {self.choices * len(self.expected)} choices"
        for name, (_, _, program, edited, cached, status) in self.records.items():
            if status != "ok":
                return str(status)
            masked = self.expected[self.parents[name]]
            if program != self.order.program or edited + cached != masked:
                return f"{edited} edited + {cached} cached of {masked} masked tokens under {program}"
        return "ok"

    def claims(self) -> dict[str, Any]:
        """Claims of the attestation as far as they are known."""
        rows = list(self.records.values())
        return {
            "nonce": self.nonce,
            "program": self.order.program,
            "boot": rows[0][0] if rows else "",
            "table": rows[0][1] if rows else -1,
            "masked": sum(self.expected.values()),
            "edited": [r[3] for r in rows],
            "cached": [r[4] for r in rows],
        }


CURRENT: contextvars.ContextVar[Ticket | None] = contextvars.ContextVar("lethe_ticket", default=None)
"""Carries the ticket from the middleware to `generate`: vLLM's handlers run in a copy of the caller's context."""
