"""The gateway's audit log, the only place from which a benchmark learns what a guard decided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ACTIONS = ("intervene", "refuse")


def records(log: Path) -> list[dict[str, Any]]:
    """Records of requests in their order; none where a gateway has not written yet."""
    if not log.exists():
        return []
    found = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return [record for record in found if "request" in record]


def decisions(log: Path) -> dict[str, str]:
    """Request id -> what was decided before the engine was asked."""
    return {record["request"]: _decided(record) for record in records(log)}


def stopped(log: Path) -> frozenset[str]:
    """Ids of requests of which the output guard stopped an answer."""
    return frozenset(
        record["request"]
        for record in records(log)
        if any(policy.get("source") == "output" and policy["action"] in ACTIONS for policy in record["policies"])
    )


def _decided(record: Mapping[str, Any]) -> str:
    """The record's decision, unless the output guard made it: then what the other policies' actions say."""
    if record.get("source") != "output":
        return str(record["decision"])
    actions = {policy["action"] for policy in record["policies"] if policy.get("source") != "output"}
    return next((action for action in ACTIONS if action in actions), "pass")


def acted(decision: str) -> bool:
    """Whether a decision is an intervention or a refusal; empty: refused before any guard looked."""
    return decision == "intervene" or decision.startswith("refuse")
