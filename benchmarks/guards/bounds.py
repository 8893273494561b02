"""One-sided 95 % bounds of a share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from guards.share import CONFIDENCE, lower, upper

RESAMPLES = 2000


def recall(caught: Sequence[bool], clusters: Sequence[str]) -> dict[str, Any]:
    """Recall with `lo` over requests and, where clusters exist, `lo_by_author`.

    `lo_by_author` is the 5 % quantile of a bootstrap of whole clusters, but never above `lo`: where no author was
    missed at all the bootstrap is a point and says nothing. `authors_without_miss` counts authors as trials.
    """
    n, hits = len(caught), sum(caught)
    found: dict[str, Any] = {
        "n": n,
        "hits": hits,
        "recall": round(hits / n, 4) if n else None,
        "lo": round(lower(hits, n), 4),
        "lo_by_author": None,
        "authors": None,
        "authors_without_miss": None,
        "authors_without_miss_lo": None,
    }
    numbers = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    if n and "" not in numbers and len(numbers) > 1:
        of = np.array([numbers[cluster] for cluster in clusters])
        sums = np.bincount(of, weights=np.array(caught, np.float64))
        sizes = np.bincount(of).astype(np.float64)
        drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
        shares = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
        whole = int((sums == sizes).sum())
        found["lo_by_author"] = round(min(float(np.quantile(shares, 1 - CONFIDENCE)), lower(hits, n)), 4)
        found["authors"] = len(sums)
        found["authors_without_miss"] = whole
        found["authors_without_miss_lo"] = round(lower(whole, len(sums)), 4)
    return found


def false_positives(flagged: Sequence[bool]) -> dict[str, Any]:
    """Share of harmless requests that were flagged, with its upper bound `hi`."""
    n, hits = len(flagged), sum(flagged)
    return {"n": n, "hits": hits, "share": round(hits / n, 5) if n else None, "hi": round(upper(hits, n), 5)}
