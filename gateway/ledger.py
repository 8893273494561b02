"""Accounts for every inference request exactly once: metrics and audit record."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

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


@dataclass(slots=True)
class Entry:
    """One request. `close` may be called once or more; only the first call counts."""

    ledger: Ledger
    request_id: str
    route: str
    tenant: str = ""
    model: str = ""
    decision: str = ""
    outcomes: tuple[Outcome, ...] = ()
    started: float = field(default_factory=time.perf_counter)
    closed: bool = False

    def decide(self, decision: Decision) -> None:
        """Note what was decided."""
        if isinstance(decision, Pass):
            self.decision = "pass"
        else:
            self.decision = "intervene" if isinstance(decision, Intervene) else f"refuse:{decision.reason}"
        self.outcomes = decision.outcomes
        for outcome in decision.outcomes:
            self.ledger.count(outcome)

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
        policies = [
            {"policy": o.policy, "mode": o.mode, "action": o.action, "p": p_bucket(o.p_value)}
            for o in self.outcomes
            if o.action != "pass"
        ]
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request": self.request_id,
            "route": self.route,
            "model": self.model,
            "tenant": self.tenant,
            "decision": self.decision,
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
