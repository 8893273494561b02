"""Accounts for every inference request exactly once: metrics and audit record."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from prometheus_client import Counter

from gateway.audit import AuditError, AuditLog, p_bucket
from gateway.decision import Decision, Intervene, Outcome, Pass
from gateway.errors import NotProtectedError
from gateway.metrics import Metrics

log = logging.getLogger("lethe.audit")


class Ledger:
    """Opens one entry per request."""

    def __init__(self, metrics: Metrics, audit: AuditLog | None) -> None:
        self.metrics, self.audit = metrics, audit
        self._counters: dict[tuple[str, str, str], Counter] = {}

    def open(self, request_id: str, route: str) -> Entry:
        """Begin to account for a request."""
        return Entry(self, request_id, route)

    def count(self, outcome: Outcome) -> None:
        """Count what one policy contributed; with hundreds of policies looking up labels costs more than counting."""
        key = outcome.policy, outcome.mode, outcome.action
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self.metrics.decisions.labels(*key)
        counter.inc()

    def require(self) -> None:
        """Raise `NotProtectedError` while audit records cannot be written: an unrecorded decision is not made."""
        if self.audit is not None and self.audit.failed is not None and not self.audit.recovered():
            raise NotProtectedError("The model is not available at present.")


def _named(decision: Decision) -> str:
    if isinstance(decision, Pass):
        return "pass"
    return "intervene" if isinstance(decision, Intervene) else f"refuse:{decision.reason}"


@dataclass(slots=True)
class Entry:
    """One request. `close` may be called once or more; only the first call counts.

    `source` says whether the request or an answer to it made the decision. `answers` are the outcomes of looks at
    answers that found something, two of one policy where the second answer did not help.
    """

    ledger: Ledger
    request_id: str
    route: str
    tenant: str = ""
    model: str = ""
    decision: str = ""
    source: Literal["input", "output"] = "input"
    outcomes: tuple[Outcome, ...] = ()
    answers: tuple[Outcome, ...] = ()
    started: float = field(default_factory=time.perf_counter)
    closed: bool = False

    def decide(self, decision: Decision) -> None:
        """Note what was decided."""
        self.decision = _named(decision)
        self.outcomes = decision.outcomes
        for outcome in decision.outcomes:
            self.ledger.count(outcome)

    def reconsider(self, decision: Decision) -> None:
        """Note what was decided about the answer; an answer that may leave changes nothing but the outcomes."""
        for outcome in decision.outcomes:
            self.ledger.metrics.answers.labels(outcome.policy, outcome.mode, outcome.action).inc()
        self.answers += decision.outcomes
        if not isinstance(decision, Pass):
            self.decision, self.source = _named(decision), "output"

    def upstream(self, seconds: float) -> None:
        """Note how long the head of the engine's answer took."""
        self.ledger.metrics.upstream_seconds.observe(seconds)

    def close(self, status: int, problem: str | None = None) -> None:
        """Write the record. A record that cannot be written stops the service (`Ledger.require`), not this answer."""
        audit = self.ledger.audit
        if self.closed or audit is None:
            self.closed = True
            return
        self.closed = True
        policies: list[dict[str, str | None]] = [
            {"policy": o.policy, "mode": o.mode, "action": o.action, "p": p_bucket(o.p_value)}
            for o in self.outcomes
            if o.action != "pass"
        ]
        policies += [{"policy": o.policy, "mode": o.mode, "action": o.action, "source": "output"} for o in self.answers]
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request": self.request_id,
            "route": self.route,
            "model": self.model,
            "tenant": self.tenant,
            "decision": self.decision,
            "source": self.source,
            "policies": policies,
            "status": status,
            "problem": problem,
            "ms": round((time.perf_counter() - self.started) * 1e3, 1),
        }
        try:
            audit.append(record)
        except AuditError as error:
            self.ledger.metrics.audit_failures.inc()
            log.critical("%s; nothing is served until it can be written again", error)
