"""Anyone's requests: JSON lines of {"messages" or "text", "label", "family"}."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.guards.suite import Draft
from benchmarks.probes.ask import user

LABELS = {
    **dict.fromkeys(("1", "true", "forget", "positive", "flag", "attack"), True),
    **dict.fromkeys(("0", "false", "retain", "negative", "pass", "benign", "harmless"), False),
}
"""What a label may say -> whether the request must be flagged."""


class GivenError(ValueError):
    """A row that cannot be used; the text names file and line."""


def given(folder: Path) -> list[tuple[Draft, bool]]:
    """Every row of every `*.jsonl` in the folder, with whether any policy must flag it.

    Raises `GivenError` for an unusable row or a folder without rows, `OSError` for an unreadable one.
    """
    found = [pair for file in sorted(folder.glob("*.jsonl")) for pair in _rows(file)]
    if not found:
        raise GivenError(f"{folder} holds no rows: *.jsonl files of {{'messages' or 'text', 'label', 'family'}} wanted")
    return found


def _rows(file: Path) -> Iterator[tuple[Draft, bool]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise GivenError(f"{file}:{number}: no JSON: {error}") from error
            yield _draft(row, f"{file}:{number}", file.stem)


def _draft(row: Any, where: str, otherwise: str) -> tuple[Draft, bool]:
    if not isinstance(row, dict) or ("messages" in row) == ("text" in row):
        raise GivenError(f"{where}: needs an object with either 'messages' or 'text'")
    label = LABELS.get(str(row.get("label")).lower())
    if label is None:
        raise GivenError(f"{where}: label {row.get('label')!r} is none of {', '.join(LABELS)}")
    messages: Any = row["messages"] if "messages" in row else [user(str(row["text"]))]
    if not isinstance(messages, list) or not all(isinstance(m, dict) and "role" in m for m in messages):
        raise GivenError(f"{where}: 'messages' must be a list of objects with a role")
    return Draft(None, str(row.get("family", otherwise)), "harmless", messages), label
