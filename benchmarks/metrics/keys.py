"""Results under the JSON keys of OpenUnlearning, so that its tools and its published logs can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.metrics.extraction import extraction_strength, extraction_strength_published
from benchmarks.metrics.forget_quality import ForgetQuality
from benchmarks.metrics.membership import member_auc, priv_leak
from benchmarks.metrics.memorisation import exact_memorisation
from benchmarks.metrics.rouge import Rouge
from benchmarks.metrics.truth_ratio import closer_to_1_better

Entry = dict[str, Any]
"""`{"agg_value": float, "value_by_index": {"0": {NAME: float}, ...}}`; figures without items have no indices."""


def open_unlearning(
    *,
    losses: Sequence[float] | None = None,
    rouges: Sequence[Rouge] | None = None,
    ratios: Sequence[float] | None = None,
    correct: Sequence[Sequence[bool]] | None = None,
    quality: ForgetQuality | None = None,
    utility: float | None = None,
    min_k_forget: Sequence[float] | None = None,
    min_k_holdout: Sequence[float] | None = None,
    auc_gold: float = 0.5,
) -> dict[str, Entry]:
    """What is given, under OpenUnlearning's keys; what is not given is left out. Sequences are over forget items.

    Args:
        losses: length-normalised losses of the true answers, end token included.
        rouges: of greedy answers, stemmed; the aggregate is ROUGE-L recall.
        ratios: geometric truth ratios.
        correct: per item and token of the true answer without the end token, whether the arg-max is right. Also gives
            `extraction_strength_published`, with a total miss at 1/T as in OpenUnlearning.
        min_k_forget, min_k_holdout: min-k scores of forget and hold-out texts, for `mia_min_k` and `privleak`.
        auc_gold: `member_auc` of the gold model; 0.5 is OpenUnlearning's default.
    """
    out: dict[str, Entry] = {}
    if losses is not None:
        items = [{"prob": float(np.exp(-x)), "avg_loss": float(x)} for x in losses]
        out["forget_Q_A_Prob"] = _mean(items, "prob")
    if rouges is not None:
        names = ("rouge1_recall", "rougeL_recall", "rougeL_f1")
        out["forget_Q_A_ROUGE"] = _mean([{n: asdict(r)[n] for n in names} for r in rouges], "rougeL_recall")
    if ratios is not None:
        out["forget_truth_ratio"] = _entry(closer_to_1_better(ratios), _scored(ratios))
    if quality is not None:
        out["forget_quality"] = _entry(quality.p, []) | {k: v for k, v in asdict(quality).items() if k != "p"}
    if utility is not None:
        out["model_utility"] = _entry(utility, [])
    if correct is not None:
        out["extraction_strength"] = _mean(_scored([extraction_strength(c) for c in correct]), "score")
        old = [extraction_strength_published(c) for c in correct]
        out["extraction_strength_published"] = _mean(_scored(old), "score")
        out["exact_memorization"] = _mean(_scored([exact_memorisation(c) for c in correct]), "score")
    if (min_k_forget is None) != (min_k_holdout is None):
        raise ValueError("min-k needs the scores of forget and hold-out texts, or neither")
    if min_k_forget is not None and min_k_holdout is not None:
        auc = member_auc(min_k_forget, min_k_holdout)
        parts = {"forget": min_k_forget, "holdout": min_k_holdout}
        out["mia_min_k"] = _entry(auc, []) | {k: _mean(_scored(v), "score") for k, v in parts.items()}
        out["privleak"] = _entry(priv_leak(auc, auc_gold), [])
    return out


def _scored(values: Sequence[float]) -> list[dict[str, float]]:
    return [{"score": float(value)} for value in values]


def _mean(items: Sequence[Mapping[str, float]], name: str) -> Entry:
    if not items:
        raise ValueError("no items; leave the argument out instead")
    return _entry(float(np.mean([item[name] for item in items])), items)


def _entry(aggregate: float, items: Sequence[Mapping[str, float]]) -> Entry:
    return {"agg_value": float(aggregate), "value_by_index": {str(i): dict(item) for i, item in enumerate(items)}}
