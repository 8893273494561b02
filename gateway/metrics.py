"""What operators see. Labels are routes, statuses and policy numbers, never texts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
_SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """All metrics on a registry of their own, so that two gateways can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "lethe_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self.decisions = Counter(
            "lethe_decisions",
            "What each policy said about each request in its scope.",
            ["policy", "mode", "action"],
            registry=self.registry,
        )
        self.guard_seconds = Histogram(
            "lethe_guard_seconds", "Time in the guards per request.", buckets=_FAST, registry=self.registry
        )
        self.second_looks = Counter(
            "lethe_guard_second_looks",
            "Requests that a second encoder read because they were nearly flagged.",
            registry=self.registry,
        )
        self.answers = Counter(
            "lethe_answers",
            "What each policy said about each answer that tells what it forgets.",
            ["policy", "mode", "action"],
            registry=self.registry,
        )
        self.output_seconds = Histogram(
            "lethe_output_seconds",
            "Time in the output guard per look at an answer.",
            buckets=_FAST,
            registry=self.registry,
        )
        self.upstream_seconds = Histogram(
            "lethe_upstream_seconds", "Time until the upstream's answer began.", buckets=_SLOW, registry=self.registry
        )
        self.in_flight = Gauge("lethe_in_flight", "Requests being served.", registry=self.registry)
        self.attestation_failures = Counter(
            "lethe_attestation_failures",
            "Flagged requests whose intervention the engine did not prove; none of them was answered.",
            registry=self.registry,
        )
        self.policies_ready = Gauge(
            "lethe_policies_ready", "Intervening policies that the engine has confirmed.", registry=self.registry
        )
        self.policies_expected = Gauge(
            "lethe_policies_expected", "Intervening policies that are active.", registry=self.registry
        )
        self.audit_failures = Counter(
            "lethe_audit_failures", "Audit records that could not be written.", registry=self.registry
        )

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
