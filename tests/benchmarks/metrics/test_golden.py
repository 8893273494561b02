"""Figures published in the logs of locuslab/tofu, to the printed digits. The logs are read where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.metrics.forget_quality import forget_quality
from benchmarks.metrics.probability import loss, probability
from benchmarks.metrics.rouge import Rouger
from benchmarks.metrics.truth_ratio import Variant, closer_to_1_better, truth_ratio

LOGS = Path(__file__).parents[4] / "shared" / "data" / "tofu_logs"


def log(name: str) -> dict[str, dict[str, Any]]:
    file = LOGS / f"{name}.json"
    if not file.exists():
        pytest.skip(f"published logs not found: shared/data/tofu_logs/{name}.json beside the repository")
    found: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def ratios(read: dict[str, dict[str, Any]], variant: Variant) -> np.ndarray:
    wrong = read["average_perturb_loss"]
    return np.array([truth_ratio(x, wrong[i], variant) for i, x in read["avg_paraphrased_loss"].items()])


@pytest.mark.parametrize(
    ("name", "rouge", "prob", "geometric", "arithmetic"),
    [
        ("phi_full", ".925", ".928", ".483", ".501"),
        ("phi_retain90", ".428", ".135", ".629", None),
        ("llama2_full", ".985", ".991", ".516", ".530"),
        ("llama2_retain90", ".408", ".148", ".674", None),
    ],
)
def test_published_means(name: str, rouge: str, prob: str, geometric: str, arithmetic: str | None) -> None:
    read = log(name)
    count = {i: int(n) for i, n in read["num_token_gt"].items()}
    even = [probability(np.full(count[i], -x / count[i])) for i, x in read["gt_loss"].items()]
    assert f"{np.mean(even):.3f}"[1:] == prob
    assert loss(np.full(3, -read["avg_gt_loss"]["0"])) == pytest.approx(read["avg_gt_loss"]["0"])
    assert f"{np.mean(list(read['rougeL_recall'].values())):.3f}"[1:] == rouge
    assert f"{closer_to_1_better(ratios(read, 'geometric')):.3f}"[1:] == geometric
    if arithmetic is not None:
        assert f"{closer_to_1_better(ratios(read, 'arithmetic')):.3f}"[1:] == arithmetic


@pytest.mark.parametrize("name", ["phi_full", "phi_retain90", "llama2_full", "llama2_retain90"])
def test_published_items(name: str) -> None:
    read, rouger, plain = log(name), Rouger(use_stemmer=True), Rouger(use_stemmer=False)
    differ = 0
    for i in list(read["generated_text"])[:60]:
        _question, answer, truth = read["generated_text"][i]
        found = rouger.score(truth, answer)
        assert found.rougeL_recall == pytest.approx(read["rougeL_recall"][i], abs=1e-12)
        assert found.rouge1_recall == pytest.approx(read["rouge1_recall"][i], abs=1e-12)
        differ += found.rougeL_recall != plain.score(truth, answer).rougeL_recall
    assert differ or name == "llama2_full"  # the stemmer is what makes them equal
    published = np.array(list(read["truth_ratio"].values()))
    np.testing.assert_allclose(ratios(read, "geometric"), published, rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "geometric", "arithmetic"), [("phi", "2.19e-16", "2.43e-17"), ("llama2", "1.83e-21", "6.03e-23")]
)
def test_published_forget_quality(family: str, geometric: str, arithmetic: str) -> None:
    full, gold = log(f"{family}_full"), log(f"{family}_retain90")
    found = forget_quality(ratios(full, "geometric"), ratios(gold, "geometric"))
    assert (f"{found.p:.2e}", found.n, found.n_gold, found.warning) == (geometric, 300, 300, None)
    assert f"{forget_quality(ratios(full, 'arithmetic'), ratios(gold, 'arithmetic')).p:.2e}" == arithmetic
    itself = forget_quality(ratios(gold, "geometric"), ratios(gold, "geometric"))
    assert (itself.p, itself.statistic) == (1.0, 0.0)


def test_published_power() -> None:
    """Median p of 50 subsamples, drawn as when the figures of the research notes were made."""
    random = np.random.RandomState(0)
    expected = {
        "phi": {28: "2.6e-02", 40: "3.0e-03", 100: "2.8e-06", 200: "1.0e-11", 300: "2.2e-16"},
        "llama2": {28: "1.1e-02", 40: "5.0e-04", 100: "6.6e-08", 200: "1.1e-14", 300: "1.8e-21"},
    }
    for family, medians in expected.items():
        full = ratios(log(f"{family}_full"), "geometric")
        gold = ratios(log(f"{family}_retain90"), "geometric")
        for size, median in medians.items():
            draws = [random.choice(300, size, replace=False) for _ in range(50)]
            found = [forget_quality(full[i], gold[i]) for i in draws]
            assert f"{np.median([f.p for f in found]):.1e}" == median
            assert all((f.warning is None) == (size >= 200) for f in found)
