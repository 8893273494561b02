"""Two-sample classifier: can answers of two systems be told apart? 0.5 is indistinguishable (cf. arXiv 2506.14003)."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline

_TOKEN = re.compile(r"\w+|[^\w\s]")
Classifier = Callable[[], Any]
"""Makes an unfitted scikit-learn classifier with `decision_function`."""


@dataclass(frozen=True, slots=True)
class TwoSample:
    """Held-out AUC over pairs within a fold, averaged over folds by the number of pairs.

    Attributes:
        auc: 0.5 where nothing tells the sides apart; below 0.5 is noise.
        upper: one-sided upper bound of the AUC at `level`, by bootstrap over groups within folds. The spread from
            training on other data is not in it: state the floor (gold against gold) beside it.
        n: number of items of the two sides.
    """

    auc: float
    upper: float
    level: float
    n: tuple[int, int]
    groups: int
    seed: int


def text_auc(
    left: Sequence[str],
    right: Sequence[str],
    groups: Sequence[Hashable],
    groups_right: Sequence[Hashable],
    *,
    folds: int = 5,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> TwoSample:
    """Logistic regression on TF-IDF of words and word pairs, grouped k-fold.

    Both sides' answers to one question, or about one author, need the same group, else the classifier learns topics and
    not sides. Raises `ValueError` for fewer groups than folds, or texts without any word.
    """

    def make() -> Any:
        words = TfidfVectorizer(tokenizer=_TOKEN.findall, token_pattern=None, ngram_range=(1, 2), sublinear_tf=True)
        return make_pipeline(words, LogisticRegression(C=100.0, max_iter=1000))

    texts = np.array([*left, *right], dtype=object)
    return _held_out(texts, len(left), [*groups, *groups_right], make, folds, resamples, level, seed)


def feature_auc(
    left: ArrayLike,
    right: ArrayLike,
    groups: Sequence[Hashable],
    groups_right: Sequence[Hashable],
    *,
    folds: int = 5,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> TwoSample:
    """The same for numbers [items, features] (latency, token counts): boosted trees, which see a changed spread too."""

    def make() -> Any:
        return HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=8, random_state=seed)

    rows = np.concatenate([np.asarray(left, np.float64), np.asarray(right, np.float64)])
    return _held_out(
        rows, len(rows) - len(np.asarray(right)), [*groups, *groups_right], make, folds, resamples, level, seed
    )


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores higher than a negative, ties count half; NaN where one side is empty."""
    hits = int(positive.sum())
    pairs = hits * (len(scores) - hits)
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - hits * (hits + 1) / 2) / pairs) if pairs else float("nan")


def _held_out(
    items: NDArray[Any],
    lefts: int,
    groups: Sequence[Hashable],
    make: Classifier,
    folds: int,
    resamples: int,
    level: float,
    seed: int,
) -> TwoSample:
    if len(groups) != len(items) or not 0 < lefts < len(items):
        raise ValueError(f"both sides need items and every item a group: {lefts} of {len(items)}, {len(groups)} groups")
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    of = np.array([number[group] for group in groups])
    if len(number) < folds:
        raise ValueError(f"{len(number)} groups cannot be split into {folds} folds; use fewer folds or more groups")
    right = np.arange(len(items)) >= lefts
    held: list[Fold] = []
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in split.split(items, right, of):
        model = make().fit(items[train], right[train])
        held.append(Fold.of(np.asarray(model.decision_function(items[test])), right[test], of[test]))
    random = np.random.default_rng(seed)
    draws = [_folded(held, [fold.drawn(random) for fold in held]) for _ in range(resamples)]
    value = _folded(held, [np.ones(len(fold.rights)) for fold in held])
    if np.isnan(value):
        raise ValueError("no fold held items of both sides; give both sides' answers to one question the same group")
    upper = float(np.nanquantile(draws, level))
    return TwoSample(value, upper, level, (lefts, len(items) - lefts), len(number), seed)


@dataclass(frozen=True, slots=True)
class Fold:
    """What a bootstrap over the groups of a fold needs to know.

    Attributes:
        wins: [groups, groups], pairs in which an item of the right side in one group scores higher than one of the left
            side in the other; ties count half.
        rights, lefts: [groups], items of either side.
    """

    wins: NDArray[np.float64]
    rights: NDArray[np.float64]
    lefts: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.float64], right: NDArray[np.bool_], groups: NDArray[np.int64]) -> Fold:
        """From scores, side and group of every held-out item."""
        _, place = np.unique(groups, return_inverse=True)
        member = np.eye(place.max() + 1)[place]
        more, less = scores[right], scores[~right]
        higher = (more[:, None] > less).astype(np.float64) + 0.5 * (more[:, None] == less)
        wins = member[right].T @ higher @ member[~right]
        return cls(wins, member[right].sum(0), member[~right].sum(0))

    def drawn(self, random: np.random.Generator) -> NDArray[np.float64]:
        """How often each group is in one resample, [groups]."""
        size = len(self.rights)
        return np.bincount(random.integers(size, size=size), minlength=size).astype(np.float64)


def _folded(folds: Sequence[Fold], weights: Sequence[NDArray[np.float64]]) -> float:
    """AUC over pairs within folds: scores of different folds come from different classifiers and do not compare.

    NaN where no fold has items of both sides.
    """
    wins = sum(float(w @ fold.wins @ w) for fold, w in zip(folds, weights, strict=True))
    pairs = sum(float((w @ fold.rights) * (w @ fold.lefts)) for fold, w in zip(folds, weights, strict=True))
    return wins / pairs if pairs else float("nan")
