"""Comparisons of two systems: bootstrap and two-sample classifier."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.metrics.bootstrap import excess
from benchmarks.metrics.two_sample import auc, feature_auc, text_auc

WORDS = ["river", "stone", "lamp", "green", "slow", "over", "under", "quick", "tree", "house", "bird", "song"]


def test_excess_by_hand() -> None:
    found = excess([1, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0], ["a", "a", "b", "b", "c", "c"], seed=3)
    assert (found.rate, found.gold) == (0.5, pytest.approx(1 / 6))
    assert found.value == pytest.approx(1 / 3)
    assert (found.clusters, found.n, found.seed, found.degenerate) == (3, 6, 3, False)
    # authors have excess 1/2, 0, 1/2: all of them are 0 in 1 of 27 draws, all 1/2 in 8 of 27
    assert (found.lo, found.hi) == (0.0, 0.5)
    narrow = excess([1, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0], ["a", "a", "b", "b", "c", "c"], level=0.4)
    assert narrow.lo == pytest.approx(1 / 3)  # P(0) + P(1/6) = 7/27 < 0.3


def test_excess_is_seeded_and_paired() -> None:
    random = np.random.default_rng(1)
    gold = random.random(60)
    authors = np.repeat(np.arange(12), 5).tolist()
    ours = gold + 0.25
    first = excess(ours, gold, authors)
    assert (first.value, first.lo, first.hi) == (pytest.approx(0.25),) * 3  # the noise of the items is shared
    assert first.degenerate
    other = random.random(60)
    assert excess(other, gold, authors, seed=4) == excess(other, gold, authors, seed=4)
    assert excess(other, gold, authors, seed=4).lo != excess(other, gold, authors, seed=5).lo


def test_excess_resamples_authors_not_items() -> None:
    random = np.random.default_rng(2)
    level = random.random(30)
    authors = np.repeat(np.arange(30), 20)
    ours, gold = level[authors], np.zeros(600)
    found = excess(ours, gold, authors.tolist())
    half = norm.ppf(0.975) * level.std() / np.sqrt(30)  # 30 independent values, not 600
    assert (found.hi - found.lo) / 2 == pytest.approx(half, rel=0.1)
    assert excess(ours, gold, list(range(600))).hi - found.value < 0.3 * half


def test_excess_weighs_items_of_unequal_authors() -> None:
    found = excess([1, 0, 0, 0], [0, 0, 0, 0], ["a", "b", "b", "b"])
    assert found.value == 0.25
    assert (found.lo, found.hi) == (0, 1)
    # one of each author in half of the draws: 1 of 4 items, not the mean of 1 and 0
    assert excess([1, 0, 0, 0], [0, 0, 0, 0], ["a", "b", "b", "b"], level=0.1).lo == 0.25


def test_excess_refuses() -> None:
    for rates, gold, authors in (([1], [1, 0], ["a"]), ([1, 0], [1, 0], ["a"]), ([[1]], [[1]], ["a"])):
        with pytest.raises(ValueError, match="per item"):
            excess(rates, gold, authors)
    with pytest.raises(ValueError, match="two authors"):
        excess([1, 0], [0, 0], ["a", "a"])
    with pytest.raises(ValueError, match="not a number"):
        excess([1, np.nan], [0, 0], ["a", "b"])


def test_auc() -> None:
    scores = np.array([1.0, 2.0, 2.0, 4.0])
    assert auc(scores, np.array([False, False, True, True])) == 0.875
    assert auc(-scores, np.array([False, False, True, True])) == 0.125
    assert np.isnan(auc(scores, np.array([True] * 4)))


def sentences(seed: int, count: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, 8)) for _ in range(count)]


def test_texts_of_one_distribution_are_not_told_apart() -> None:
    groups = np.repeat(np.arange(40), 5).tolist()
    found = text_auc(sentences(0, 200), sentences(1, 200), groups, groups, resamples=200)
    assert abs(found.auc - 0.5) < 0.08
    assert found.auc < found.upper < 0.62
    assert (found.n, found.groups, found.level) == ((200, 200), 40, 0.95)
    assert found == text_auc(sentences(0, 200), sentences(1, 200), groups, groups, resamples=200)


def test_texts_of_two_systems_are_told_apart() -> None:
    groups = list(range(200))
    left = sentences(0, 200)
    found = text_auc(left, [f"{s} indeed" for s in sentences(1, 200)], groups, groups, resamples=50)
    assert (found.auc, found.upper) == (1, 1)
    some = [f"{s} indeed" if i % 2 else s for i, s in enumerate(sentences(1, 200))]
    assert 0.65 < text_auc(left, some, groups, groups, resamples=50).auc < 0.9
    assert text_auc(left, [s.replace(" ", ", ") for s in sentences(1, 200)], groups, groups, resamples=9).auc == 1


def test_groups_keep_topics_out() -> None:
    """Each question has its own answer, which both sides give; nothing tells the sides apart."""
    answers = [f"topic{i} word{i} thing{i}" for i in range(30)]
    groups = list(range(30))
    assert text_auc(answers, answers, groups, groups, resamples=9).auc == 0.5


def test_classifier_refuses() -> None:
    with pytest.raises(ValueError, match="folds"):
        text_auc(["a"] * 3, ["b"] * 3, [0, 1, 2], [0, 1, 2])
    with pytest.raises(ValueError, match="group"):
        text_auc(["a"] * 9, ["b"] * 9, list(range(9)), list(range(8)))
    with pytest.raises(ValueError, match="items"):
        text_auc([], ["b"] * 9, [], list(range(9)))


def test_features_see_level_and_spread() -> None:
    random = np.random.default_rng(0)
    groups = list(range(300))
    base, same = random.normal(size=(300, 2)), random.normal(size=(300, 2))
    assert abs(feature_auc(base, same, groups, groups, resamples=50).auc - 0.5) < 0.08
    assert feature_auc(base, same + np.array([3, 0]), groups, groups, resamples=50).auc > 0.9
    assert feature_auc(base, same * [1, 6], groups, groups, resamples=50).auc > 0.75  # the same mean
    assert feature_auc(np.ones((40, 1)), np.ones((40, 1)), groups[:40], groups[:40], resamples=9).auc == 0.5
