"""Harmless requests of the operator's own traffic: the third stratum of the calibration.

One JSON object a line, `{"text": ...}` or `{"messages": [{"role": ..., "content": ...}, ...]}`. They must be a sample
of the requests that the gateway will serve, and about nothing that is to be forgotten: what they ask for will pass.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guards.verdict import TextPart

Sample = tuple[TextPart, ...]
"""The texts of one request."""


def read_samples(file: Path) -> list[Sample]:
    """Read a file of samples. Raises `ValueError`, which says what is wrong with which line and what to do."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"guard.samples: {file} cannot be read as UTF-8 ({type(error).__name__})") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                parts = tuple(_parts(json.loads(line)))
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ValueError(
                    f"guard.samples: {file} line {number}: expected {{'text': ...}} or {{'messages': [{{'role': ..., "
                    "'content': ...}]}; mend the line or leave it out"
                ) from error
            if parts:
                found.append(parts)
    if not found:
        raise ValueError(f"guard.samples: {file} holds no request; give harmless requests, or leave the setting out")
    return found


def too_few(given: int, left: int, alpha: float, share: float = 0.0) -> str:
    """What is wrong with `left` samples of those given, and what to do; a second look has a share of alpha."""
    least = math.ceil(1 / (alpha * (1 - share)) - 1e-9) - 1
    return (
        f"guard.samples: {left} of {given} requests are left without those that name a subject of a policy, and alpha "
        f"{alpha:g} needs {least}; give more, raise guard.alpha, or leave the setting out"
    )


def _parts(row: dict[str, Any]) -> Iterator[TextPart]:
    """The texts of a line. Raises `KeyError` and `TypeError` for a line of another form."""
    if "messages" not in row:
        yield from _texts("/prompt", "user", row["text"])
        return
    for number, message in enumerate(row["messages"]):
        content = message["content"]
        path = f"/messages/{number}/content"
        if isinstance(content, list):
            for place, part in enumerate(content):
                yield from _texts(f"{path}/{place}/text", message["role"], part["text"])
        elif content is not None:  # a turn that only calls a tool
            yield from _texts(path, message["role"], content)


def _texts(path: str, role: object, text: object) -> Iterator[TextPart]:
    if not isinstance(text, str) or not isinstance(role, str):
        raise TypeError(path)
    if text:
        yield TextPart(path, role, text)
