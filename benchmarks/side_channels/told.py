"""How well a classifier tells two lists of answers apart, channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.metrics.two_sample import TwoSample, feature_auc, text_auc
from benchmarks.side_channels.seen import Seen

Feature = Callable[[Seen], float]
COUNTS: Mapping[str, Feature] = {
    "tokens": lambda s: s.tokens,
    "events": lambda s: s.events,
    "pieces": lambda s: s.pieces,
    "finish": lambda s: float(s.finish == "length"),
    "status": lambda s: s.status,
}
"""Of an answer's numbers; those of the prompt are compared exactly, see `visible`."""
TIMES: Mapping[str, Feature] = {
    "head": lambda s: s.head,
    "first byte": lambda s: s.first,
    "head to first byte": lambda s: s.first - s.head,
    "per token": lambda s: (s.total - s.first) / max(1, s.tokens - 1),
    "longest stall": lambda s: s.stall,
    "total": lambda s: s.total,
}
"""In seconds."""
PER_LENGTH = ("head", "first byte", "head to first byte", "per token")
"""Times that a longer answer does not lengthen by itself."""
RESAMPLES = 400
QUANTILES = tuple(round(0.05 * i, 2) for i in range(21))


def by_text(left: Sequence[Seen], right: Sequence[Seen], seed: int) -> dict[str, Any]:
    """A classifier that reads the answers."""
    groups = _groups(left), _groups(right)
    texts = [s.text for s in left], [s.text for s in right]
    return _figures(text_auc(*texts, *groups, folds=_folds(*groups), resamples=RESAMPLES, seed=seed))


def by_counts(left: Sequence[Seen], right: Sequence[Seen], seed: int) -> dict[str, Any]:
    """A classifier that sees token counts, events, finish reason and status, but no text."""
    return by_features(left, right, list(COUNTS.values()), seed)


def by_time(left: Sequence[Seen], right: Sequence[Seen], seed: int, sides: tuple[str, str]) -> dict[str, Any]:
    """Classifiers that have a stop-watch: all times, those that do not depend on the length, and each by itself.

    `quantiles` are milliseconds at `QUANTILES`, by time and side.
    """
    return {
        "all": by_features(left, right, list(TIMES.values()), seed),
        "per length": by_features(left, right, [TIMES[name] for name in PER_LENGTH], seed),
        **{name: by_features(left, right, [time], seed) for name, time in TIMES.items()},
        "quantiles": {
            name: {
                side: [round(1e3 * float(q), 4) for q in np.quantile([time(s) for s in answers], QUANTILES)]
                for side, answers in zip(sides, (left, right), strict=True)
            }
            for name, time in TIMES.items()
        },
    }


def by_features(left: Sequence[Seen], right: Sequence[Seen], features: Sequence[Feature], seed: int) -> dict[str, Any]:
    """A classifier that sees some numbers."""
    rows = [[[float(feature(s)) for feature in features] for s in side] for side in (left, right)]
    groups = _groups(left), _groups(right)
    return _figures(feature_auc(rows[0], rows[1], *groups, folds=_folds(*groups), resamples=RESAMPLES, seed=seed))


def _groups(answers: Sequence[Seen]) -> list[int]:
    return [seen.question.group for seen in answers]


def _folds(left: Sequence[int], right: Sequence[int]) -> int:
    return min(5, len({*left, *right}))


def _figures(found: TwoSample) -> dict[str, Any]:
    return {"auc": round(found.auc, 4), "upper": round(found.upper, 4), "n": list(found.n), "groups": found.groups}
