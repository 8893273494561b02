"""Answers of an arm -> TOFU's figures, under OpenUnlearning's keys and as a summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.metrics.forget_quality import ForgetQuality, forget_quality
from benchmarks.metrics.keys import Entry, open_unlearning
from benchmarks.metrics.membership import member_auc
from benchmarks.metrics.model_utility import model_utility
from benchmarks.metrics.truth_ratio import true_better
from benchmarks.tofu.answers import Answered

KEYS = {"retain": "retain", "real_authors": "ra", "world_facts": "wf"}
"""What OpenUnlearning calls the sets in its keys."""
CEILING = 0.5
"""ROUGE-L recall of the bare model on the forget questions below which it does not know them, so that no arm can be
said to have forgotten them."""


def utility_terms(sets: Mapping[str, Sequence[Answered]]) -> dict[str, float]:
    """The nine terms of Model Utility, from the answers to the three sets that must stay known."""
    terms = {}
    for name in KEYS:
        answers = sets[name]
        chances = [np.exp(-a.loss) if a.share is None else a.share for a in answers]
        terms[f"{name}_probability"] = float(np.mean(chances))
        terms[f"{name}_rouge"] = float(np.mean([a.rouge.rougeL_recall for a in answers]))
        terms[f"{name}_truth_ratio"] = true_better([a.ratio for a in answers])
    return terms


def entries(
    sets: Mapping[str, Sequence[Answered]],
    gold: Sequence[Answered],
    holdout: Sequence[float],
    gold_holdout: Sequence[float],
) -> dict[str, Entry]:
    """All figures of one arm with their values per question.

    Args:
        sets: answers by set; without the three retain sets, Model Utility and their figures are left out.
        gold: the gold model's answers to the forget questions.
        holdout, gold_holdout: `memberships` of texts that neither model has seen; empty where there are none.
    """
    forget, whole = sets["forget"], len(sets) > 1
    known = [a.min_k for a in forget] if len(holdout) else None
    found = open_unlearning(
        losses=[a.loss for a in forget],
        rouges=[a.rouge for a in forget],
        ratios=[a.ratio for a in forget],
        correct=[a.correct for a in forget],
        quality=quality(forget, gold),
        utility=model_utility(utility_terms(sets)) if whole else None,
        min_k_forget=known,
        min_k_holdout=holdout if len(holdout) else None,
        auc_gold=member_auc([a.min_k for a in gold], gold_holdout) if len(gold_holdout) else 0.5,
    )
    return found | (_kept(sets) if whole else {})


def quality(forget: Sequence[Answered], gold: Sequence[Answered]) -> ForgetQuality:
    """Forget Quality of an arm against the gold model, over the same questions."""
    return forget_quality([a.ratio for a in forget], [a.ratio for a in gold])


def summary(
    sets: Mapping[str, Sequence[Answered]], found: Mapping[str, Entry], quality_of: ForgetQuality
) -> dict[str, Any]:
    """Aggregates of one arm, without values per question."""
    return {
        "forget_quality": asdict(quality_of),
        **{name: entry["agg_value"] for name, entry in found.items() if name != "forget_quality"},
        "model_utility_terms": utility_terms(sets) if len(sets) > 1 else None,
        "edited": {name: float(np.mean([a.edited for a in answers])) for name, answers in sets.items()},
    }


def _kept(sets: Mapping[str, Sequence[Answered]]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for name, short in KEYS.items():
        answers = sets[name]
        options = answers[0].share is not None
        chances = [
            {"prob": float(np.exp(-a.loss) if a.share is None else a.share), "avg_loss": a.loss} for a in answers
        ]
        rouges = [{"rouge1_recall": a.rouge.rouge1_recall, "rougeL_recall": a.rouge.rougeL_recall} for a in answers]
        ratios = [{"score": a.ratio} for a in answers]
        found[f"{short}_Q_A_Prob" + ("_normalised" if options else "")] = _entry(_mean(chances, "prob"), chances)
        found[f"{short}_Q_A_ROUGE"] = _entry(_mean(rouges, "rougeL_recall"), rouges)
        found[f"{short}_Truth_Ratio"] = _entry(true_better([a.ratio for a in answers]), ratios)
    return found


def _mean(items: Sequence[Mapping[str, float]], name: str) -> float:
    return float(np.mean([item[name] for item in items]))


def _entry(aggregate: float, items: Sequence[dict[str, float]]) -> Entry:
    return {"agg_value": aggregate, "value_by_index": {str(i): item for i, item in enumerate(items)}}
