"""Metrics on log-probabilities, with values worked out by hand."""

from __future__ import annotations

import itertools
import math
import zlib

import numpy as np
import pytest

from benchmarks.metrics.divergence import log_ratios, symmetric_kl
from benchmarks.metrics.extraction import extraction_strength, extraction_strength_published
from benchmarks.metrics.forget_quality import forget_quality
from benchmarks.metrics.membership import member_auc, min_k, min_k_plus_plus, priv_leak, zlib_score
from benchmarks.metrics.memorisation import exact_memorisation
from benchmarks.metrics.model_utility import TERMS, model_utility
from benchmarks.metrics.probability import among_options, loss, probability
from benchmarks.metrics.truth_ratio import closer_to_1_better, true_better, truth_ratio

LN2 = math.log(2)


def test_probability_is_the_geometric_mean() -> None:
    assert probability(np.log([0.5, 0.125])) == pytest.approx(0.25)
    assert loss(np.log([0.5, 0.125])) == pytest.approx(2 * LN2)
    assert probability([0.0]) == 1  # T = 1
    assert probability([-math.inf, -1.0]) == 0


@pytest.mark.parametrize("bad", [[], [[-1.0]], [0.5, -1.0], [math.nan]])
def test_probability_refuses(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"token|log-probabilities"):
        probability(bad)


def test_probability_among_options() -> None:
    assert among_options(LN2, [2 * LN2, 2 * LN2]) == pytest.approx(0.5)
    assert among_options(0.0, [3 * LN2]) == pytest.approx(8 / 9)
    assert among_options(2000.0, [2000.0, 2000.0, 2000.0]) == pytest.approx(0.25)  # all probabilities underflow
    with pytest.raises(ValueError, match="at least one wrong"):
        among_options(1.0, [])


def test_truth_ratio_variants() -> None:
    assert truth_ratio(0.0, [LN2, 3 * LN2], "geometric") == pytest.approx(0.25)
    assert truth_ratio(0.0, [LN2, 3 * LN2], "arithmetic") == pytest.approx(0.3125)
    assert truth_ratio(LN2, [0.0], "geometric") == pytest.approx(2)  # wrong over true, not true over wrong
    assert truth_ratio(LN2, [0.0], "arithmetic") == pytest.approx(2)
    assert truth_ratio(3000.0, [3000.0] * 5, "arithmetic") == pytest.approx(1)
    with pytest.raises(ValueError, match="at least one wrong"):
        truth_ratio(1.0, [], "geometric")
    with pytest.raises(ValueError, match="unknown variant"):
        truth_ratio(1.0, [1.0], "harmonic")  # type: ignore[arg-type]


def test_aggregates_of_truth_ratios() -> None:
    assert closer_to_1_better([2.0, 0.5, 1.0]) == pytest.approx(2 / 3)
    assert closer_to_1_better([0.0, math.inf]) == 0
    assert true_better([2.0, 0.5]) == 0.25
    assert true_better([0.0, 0.0]) == 1
    for aggregate in (closer_to_1_better, true_better):
        for bad in ([], [-1.0], [math.nan]):
            with pytest.raises(ValueError, match="truth ratios"):
                aggregate(bad)


def exact_p(a: list[float], b: list[float]) -> tuple[float, float]:
    """D by looking at every value, p by trying every way to split the pooled values: the definition of the test."""
    pooled = a + b

    def distance(left: set[int]) -> float:
        right = set(range(len(pooled))) - left
        steps = [
            abs(sum(pooled[i] <= x for i in left) / len(left) - sum(pooled[i] <= x for i in right) / len(right))
            for x in pooled
        ]
        return max(steps)

    seen = distance(set(range(len(a))))
    splits = [distance(set(s)) for s in itertools.combinations(range(len(pooled)), len(a))]
    return sum(d >= seen - 1e-12 for d in splits) / len(splits), seen


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.55], [0.5, 0.6, 0.7, 0.8, 0.9]),
        ([0.1, 0.9, 1.7, 2.5], [0.5, 1.1, 1.3, 2.1, 3.0, 4.0]),
        ([3.0, 1.0, 2.0], [0.25, 0.5, 0.75]),
    ],
)
def test_forget_quality_against_enumeration(a: list[float], b: list[float]) -> None:
    found, (p, statistic) = forget_quality(a, b), exact_p(a, b)
    assert (found.p, found.statistic) == (pytest.approx(p), pytest.approx(statistic))
    assert (found.n, found.n_gold) == (len(a), len(b))
    assert found.warning is not None
    assert f"{min(len(a), len(b))} items" in found.warning
    inverse = forget_quality([1 / x for x in a], [1 / x for x in b])
    assert (inverse.p, inverse.statistic) == (pytest.approx(p), pytest.approx(statistic))


def test_forget_quality_edges() -> None:
    assert (forget_quality([1.0] * 8, [1.0] * 8).p, forget_quality([1.0] * 8, [1.0] * 8).statistic) == (1, 0)
    steps = np.linspace(0, 1, 200)
    assert forget_quality(steps, steps).warning is None
    assert forget_quality(steps, steps[1:]).warning is not None
    with pytest.raises(ValueError, match="gold"):
        forget_quality([1.0], [])


def test_model_utility() -> None:
    terms = dict.fromkeys(TERMS, 0.5)
    assert len(terms) == 9
    assert model_utility(terms) == pytest.approx(0.5)
    assert model_utility({**terms, "retain_rouge": 1.0}) == pytest.approx(9 / 17)
    assert model_utility({**terms, "world_facts_truth_ratio": 0.0}) == 0
    with pytest.raises(ValueError, match="world_facts_rouge"):
        model_utility({k: v for k, v in terms.items() if k != "world_facts_rouge"})
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        model_utility({**terms, "retain_rouge": 1.2})


@pytest.mark.parametrize(
    ("correct", "strength", "published"),
    [
        ([True] * 3, 1, 1),
        ([True, True, False], 0, 1 / 3),
        ([False] * 4, 0, 1 / 4),
        ([False, True, True, True], 0.75, 0.75),
        ([True, False, True, True], 0.5, 0.5),
        ([True], 1, 1),
        ([False], 0, 1),
    ],
)
def test_extraction_strength(correct: list[bool], strength: float, published: float) -> None:
    assert extraction_strength(correct) == pytest.approx(strength)
    assert extraction_strength_published(correct) == pytest.approx(published)
    assert extraction_strength(np.array(correct)) == pytest.approx(strength)  # type: ignore[arg-type]


def test_exact_memorisation() -> None:
    assert exact_memorisation([True, False, True, True]) == 0.75
    assert (exact_memorisation([True]), exact_memorisation([False])) == (1, 0)


@pytest.mark.parametrize("metric", [extraction_strength, extraction_strength_published, exact_memorisation])
def test_no_tokens_is_an_error(metric: object) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        metric([])  # type: ignore[operator]


def test_membership_scores() -> None:
    logprobs = [-1.0, -4.0, -2.0, -3.0, -5.0]
    assert min_k(logprobs) == 4.5  # 40 % of five tokens are the two lowest
    assert min_k(logprobs, 0.2) == 5
    assert min_k(logprobs, 1.0) == loss(logprobs) == 3
    assert min_k([-2.0]) == 2  # at least one token
    text = "the same words " * 9
    assert zlib_score(logprobs, text) == 3 / len(zlib.compress(text.encode()))
    plus = min_k_plus_plus(logprobs, [-2.0, -2.0, -2.0, -2.0, -2.0], [4.0, 1.0, 1.0, 1.0, 9.0])
    assert plus == 1.5  # (lp - mu) / sigma = .5, -2, 0, -1, -1: the two lowest are -2 and -1
    assert min_k_plus_plus([-1.0], [0.0], [0.0]) == pytest.approx(1000)  # variance clamped at 1e-6
    with pytest.raises(ValueError, match="shapes"):
        min_k_plus_plus(logprobs, [0.0], [1.0])
    with pytest.raises(ValueError, match="share"):
        min_k(logprobs, 0)


def test_member_auc_direction_and_ties() -> None:
    assert member_auc([0.1, 0.2], [3.0, 4.0]) == 1  # forgotten texts have the low losses: they look known
    assert member_auc([3.0, 4.0], [0.1, 0.2]) == 0
    assert member_auc([1.0, 1.0], [1.0, 1.0, 1.0]) == 0.5
    assert member_auc([1.0, 3.0], [2.0]) == 0.5
    assert member_auc([1.0, 2.0, 5.0], [2.0, 4.0]) == pytest.approx(3.5 / 6)
    with pytest.raises(ValueError, match="holdout"):
        member_auc([1.0], [])


def test_priv_leak() -> None:
    assert priv_leak(0.5) == 0
    assert priv_leak(1.0) == -100  # still a member: under-unlearned
    assert priv_leak(0.0) == 100
    assert priv_leak(0.7, 0.6) == pytest.approx(-25)
    with pytest.raises(ValueError, match="below 1"):
        priv_leak(0.5, 1.0)


def test_symmetric_kl_by_hand() -> None:
    # our samples: 2 and 4 tokens, gold's: 1 token
    found = symmetric_kl([[-1.0, -1.0], [-0.5] * 4], [[-2.0, -3.0], [-0.5, -0.5, -0.5, -1.5]], [[-1.0]], [[-2.0]])
    assert (found.forward, found.backward) == (2.0, 1.0)  # (3 + 1) / 2 and 1
    assert found.per_answer == 1.5
    assert found.per_token == pytest.approx((2 / 3 + 1) / 2)
    assert found.samples == (2, 1)
    assert log_ratios([[-1.0, -1.0], [-0.5]], [[-2.0, -3.0], [-0.5]]).tolist() == [3.0, 0.0]
    same = symmetric_kl([[-1.0]], [[-1.0]], [[-2.0]], [[-2.0]])
    assert (same.per_answer, same.per_token) == (0, 0)


def test_symmetric_kl_estimates_the_closed_form() -> None:
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])
    random = np.random.default_rng(0)
    a, b = random.choice(3, 20_000, p=p), random.choice(3, 20_000, p=q)
    found = symmetric_kl(np.log(p[a])[:, None], np.log(q[a])[:, None], np.log(q[b])[:, None], np.log(p[b])[:, None])
    assert found.forward == pytest.approx((p * np.log(p / q)).sum(), abs=0.03)
    assert found.backward == pytest.approx((q * np.log(q / p)).sum(), abs=0.03)


def test_symmetric_kl_refuses_unpaired_scores() -> None:
    with pytest.raises(ValueError, match="sample 0"):
        symmetric_kl([[-1.0]], [[-1.0, -1.0]], [[-1.0]], [[-1.0]])
    with pytest.raises(ValueError, match="same samples"):
        symmetric_kl([], [], [[-1.0]], [[-1.0]])
