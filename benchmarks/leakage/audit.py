"""The gateway's audit log, the only place from which a benchmark learns what a guard decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def records(log: Path) -> list[dict[str, Any]]:
    """Records of requests in their order; none where a gateway has not written yet."""
    if not log.exists():
        return []
    found = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return [record for record in found if "request" in record]


def decisions(log: Path) -> dict[str, str]:
    """Request id -> decision."""
    return {record["request"]: record["decision"] for record in records(log)}


def acted(decision: str) -> bool:
    """Whether a decision is an intervention or a refusal; empty: refused before any guard looked."""
    return decision == "intervene" or decision.startswith("refuse")
