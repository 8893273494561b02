"""Where a question of a public set stands, so that results can name it without holding it."""

from __future__ import annotations

import csv
import json
from pathlib import Path


def references(data: Path) -> dict[str, str]:
    """Question -> set and row (from 0), for the sets that are in the folder."""
    found: dict[str, str] = {}
    for name in ("real_authors_perturbed", "world_facts_perturbed", "full"):
        file = data / "tofu" / f"{name}.jsonl"
        if file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            found |= {str(json.loads(line)["question"]): f"tofu/{name} {row}" for row, line in enumerate(lines)}
    for name in ("unlearn_train", "retention_train"):
        file = data / "knowundo_privacy" / f"{name}.json"
        if file.is_file():
            rows = json.loads(file.read_text(encoding="utf-8"))
            found |= {str(row["text"]): f"knowundo_privacy/{name} {number}" for number, row in enumerate(rows)}
    file = data / "truthfulqa" / "TruthfulQA.csv"
    if file.is_file():
        with file.open(encoding="utf-8-sig", newline="") as opened:
            found |= {row["Question"]: f"truthfulqa {number}" for number, row in enumerate(csv.DictReader(opened))}
    return found
