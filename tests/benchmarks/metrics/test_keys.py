from __future__ import annotations

import json
import math

import pytest

from benchmarks.metrics.forget_quality import forget_quality
from benchmarks.metrics.keys import open_unlearning
from benchmarks.metrics.rouge import Rouger


def test_all_keys() -> None:
    rouger = Rouger(use_stemmer=True)
    found = open_unlearning(
        losses=[0.0, math.log(2)],
        rouges=[rouger.score("a b", "a b"), rouger.score("a b", "a c c c")],
        ratios=[0.5, 1.0],
        correct=[[True, True], [False, False]],
        quality=forget_quality([0.5, 1.0], [0.4, 2.0]),
        utility=0.6,
        min_k_forget=[1.0, 2.0],
        min_k_holdout=[3.0, 1.5],
        auc_gold=0.5,
    )
    assert {key: entry["agg_value"] for key, entry in found.items()} == {
        "forget_Q_A_Prob": 0.75,
        "forget_Q_A_ROUGE": 0.75,  # recall, not F1
        "forget_truth_ratio": 0.75,
        "forget_quality": pytest.approx(1.0),
        "model_utility": 0.6,
        "extraction_strength": 0.5,
        "extraction_strength_published": 0.75,
        "exact_memorization": 0.5,
        "mia_min_k": 0.75,
        "privleak": -50.0,
    }
    assert all(set(entry) >= {"agg_value", "value_by_index"} for entry in found.values())
    assert found["forget_Q_A_Prob"]["value_by_index"]["1"] == {"prob": pytest.approx(0.5), "avg_loss": math.log(2)}
    assert found["forget_Q_A_ROUGE"]["value_by_index"]["0"] == {"rouge1_recall": 1, "rougeL_recall": 1, "rougeL_f1": 1}
    assert found["forget_truth_ratio"]["value_by_index"] == {"0": {"score": 0.5}, "1": {"score": 1.0}}
    assert found["forget_quality"]["statistic"] == 0.5
    assert found["forget_quality"]["n"] == 2
    assert found["mia_min_k"]["holdout"]["value_by_index"]["0"] == {"score": 3.0}
    assert json.loads(json.dumps(found)) == found


def test_what_is_not_given_is_left_out() -> None:
    assert open_unlearning() == {}
    assert set(open_unlearning(utility=0.0)) == {"model_utility"}
    with pytest.raises(ValueError, match="hold-out"):
        open_unlearning(min_k_forget=[1.0])
    with pytest.raises(ValueError, match="no items"):
        open_unlearning(losses=[])
