"""Shares with their intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.forgetting import interval


def share(hits: Iterable[bool]) -> dict[str, Any]:
    """Share of hits with a two-sided 95 % interval (Clopper and Pearson, Biometrika 26, 1934).

    The interval takes the trials as independent; questions about one author are less than that. None without trials.
    """
    listed = list(hits)
    n, k = len(listed), sum(listed)
    if not n:
        return {"n": 0, "hits": 0, "share": None, "lo": None, "hi": None}
    low, high = interval(k, n)
    return {"n": n, "hits": k, "share": round(k / n, 4), "lo": low, "hi": high}
