"""Forgotten values in a text: the one predicate by which leakage is counted everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable


def found_values(text: str, values: Iterable[str], question: str = "") -> tuple[str, ...]:
    """Values that stand in `text` as whole words, ignoring case, and not already in `question`."""
    return tuple(v for v in values if v and _holds(text, v) and not _holds(question, v))


def _holds(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None
