"""Whether a client could tell an arm from the model that never knew."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.leakage.answers import direct, text
from benchmarks.leakage.ask import Asked
from benchmarks.leakage.client import Answered
from benchmarks.metrics.two_sample import feature_auc, text_auc


def told_apart(arm: Asked, gold: Asked, seed: int) -> dict[str, float]:
    """AUC of a classifier that reads the answers to the plain questions."""
    ours, theirs = direct(arm), direct(gold)
    groups = [a.probe.item.author for a in ours]
    result = text_auc(
        [text(a) for a in ours], [text(a) for a in theirs], groups, groups, folds=_folds(groups), seed=seed
    )
    return {"auc": round(result.auc, 4), "upper": round(result.upper, 4), "n": result.n[0]}


def side_channel(arm: Asked, gold: Asked, seed: int) -> dict[str, float]:
    """AUC of a classifier that sees usage, finish reasons, header names and sizes, but neither text nor latency."""
    kinds: dict[str, int] = {}

    def features(answered: Answered) -> list[float]:
        reply = answered.replies[-1]
        choice = (reply.body.get("choices") or [{}])[0]
        usage = reply.body.get("usage") or {}
        finish = str(choice.get("finish_reason"))
        names = " ".join(sorted(k.lower() for k in reply.headers))
        return [
            float(usage.get("completion_tokens") or 0),
            float(kinds.setdefault(finish, len(kinds))),
            float(kinds.setdefault(names, len(kinds))),
            float(reply.status),
        ]

    ours, theirs = direct(arm), direct(gold)
    groups = [a.probe.item.author for a in ours]
    result = feature_auc(
        [features(a) for a in ours], [features(a) for a in theirs], groups, groups, folds=_folds(groups), seed=seed
    )
    return {"auc": round(result.auc, 4), "upper": round(result.upper, 4), "n": result.n[0]}


def _folds(groups: Sequence[int]) -> int:
    return min(5, len(set(groups)))
