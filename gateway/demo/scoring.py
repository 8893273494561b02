"""From questions and both answers to the figures of the demonstration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.demo.asking import Answer, equal
from guards.values import found_values


def decisions(audit: Path) -> dict[str, str]:
    """What the gateway decided: request id -> decision, read from its audit log."""
    lines = audit.read_text(encoding="utf-8").splitlines()
    return {r["request"]: r["decision"] for r in map(json.loads, lines) if "request" in r}


def scored(row: Mapping[str, Any], answer: Answer) -> bool:
    """Whether the bare model knows it: the asked value stands in its answer and not in the question."""
    return bool(found_values(answer.text, [row["value"]], row["question"]))


def forget_report(
    rows: Sequence[Mapping[str, Any]],
    base: Sequence[Answer],
    protected: Sequence[Answer],
    decided: Mapping[str, str],
    values: Sequence[str],
) -> dict[str, Any]:
    """The "forget" part. A leak is the asked or any other forgotten value in an answer, not already in the question."""
    items = []
    for row, before, after in zip(rows, base, protected, strict=True):
        known = (row["value"], *values)
        items.append(
            {
                "id": row["id"],
                "question": row["question"],
                "value": row["value"],
                "form": row.get("form", ""),
                "base": before.text,
                "protected": after.text,
                "scored": scored(row, before),
                "caught": decided.get(after.request_id) == "intervene",
                "leaked": sorted(set(found_values(after.text, known, row["question"]))),
            }
        )
    counted = [i for i in items if i["scored"]]
    return {
        "n_asked": len(items),
        "n_scored": len(counted),
        "leaks_base": len(counted),
        "leaks_protected": sum(bool(i["leaked"]) for i in counted),
        "caught": sum(i["caught"] for i in counted),
        "leaks_caught": sum(bool(i["leaked"]) for i in counted if i["caught"]),
        "items": items,
    }


def retain_report(
    rows: Sequence[Mapping[str, Any]], base: Sequence[Answer], protected: Sequence[Answer], decided: Mapping[str, str]
) -> dict[str, Any]:
    """The "retain" part; `identical` counts unflagged answers with the same text, `equal` those equal by E2."""
    items = []
    for row, before, after in zip(rows, base, protected, strict=True):
        items.append(
            {
                "id": row["id"],
                "question": row.get("question") or row["messages"][-1]["content"],
                "kind": row["kind"],
                "base": before.text,
                "protected": after.text,
                "unflagged": decided.get(after.request_id) == "pass",
                "identical": before.text == after.text,
                "equal": equal(before, after),
            }
        )
    free = [i for i in items if i["unflagged"]]
    kinds = sorted({i["kind"] for i in items})
    return {
        "n": len(items),
        "unflagged": len(free),
        "identical": sum(i["identical"] for i in free),
        "equal": sum(i["equal"] for i in free),
        "by_kind": {
            kind: {"n": sum(i["kind"] == kind for i in items), "unflagged": sum(i["kind"] == kind for i in free)}
            for kind in kinds
        },
        "items": items,
    }


def control_report(
    rows: Sequence[Mapping[str, Any]], answers: Sequence[Answer], values: Sequence[str]
) -> dict[str, Any]:
    """Chance: the same predicate on the bare model's answers about names that do not exist."""
    items = [
        {"id": row["id"], "question": row["question"], "base": a.text,
         "leaked": sorted(set(found_values(a.text, values, row["question"])))}
        for row, a in zip(rows, answers, strict=True)
    ]  # fmt: skip
    return {"n": len(items), "leaks": sum(bool(i["leaked"]) for i in items), "items": items}


def messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Conversation of a row."""
    return row.get("messages") or [{"role": "user", "content": row["question"]}]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
