"""What a benchmark learns from the audit log: decisions about requests, apart from those about answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.leakage.audit import acted, decisions, stopped

BY_INPUT = {"policy": "1", "mode": "enforce", "action": "intervene", "p": "<=0.001"}
BY_OUTPUT = {"policy": "1", "mode": "enforce", "action": "intervene", "source": "output"}
FAILED = {"policy": "1", "mode": "enforce", "action": "fail", "source": "output"}
WATCHED = {"policy": "1", "mode": "audit", "action": "observe", "source": "output"}


def record(request: str, decision: str, source: str, *policies: dict[str, str]) -> dict[str, Any]:
    return {"request": request, "decision": decision, "source": source, "policies": list(policies)}


def test_what_the_output_guard_decided_is_not_the_guard_s_decision(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    written = [
        {"event": "start"},
        record("passed", "pass", "input"),
        record("flagged", "intervene", "input", BY_INPUT),
        record("asked again", "intervene", "output", BY_OUTPUT),
        record("flagged, asked again", "refuse:output", "output", BY_INPUT, BY_OUTPUT),
        record("not looked at", "refuse:guard", "output", FAILED),
        record("watched", "pass", "output", WATCHED),
        record("refused", "refuse:guard", "input", {**BY_INPUT, "action": "fail"}),
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in written), encoding="utf-8")
    flagged = [request for request, decision in decisions(log).items() if acted(decision)]
    assert flagged == ["flagged", "flagged, asked again", "refused"]
    assert stopped(log) == {"asked again", "flagged, asked again"}
    assert decisions(tmp_path / "nothing yet") == {}
