"""The linear model on window vectors. scikit-learn fits it; inference needs numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guards.encoder import Floats
from guards.normalize import Bools, Ints

COSTS = (1.0, 10.0)
"""Inverse regularisation strengths that are tried."""
FOLDS = 3


@dataclass(frozen=True, slots=True)
class Linear:
    """Decision value `x @ weights + bias + evidence * flag`; the weight of evidence is never negative."""

    weights: Floats
    bias: float
    evidence: float

    def scores(self, vectors: Floats) -> Floats:
        """Decision values of windows without name evidence."""
        return np.asarray(vectors @ self.weights + self.bias, np.float32)


def fit_linear(vectors: Floats, flags: Bools, labels: Bools, weights: Floats, groups: Ints, seed: int) -> Linear:
    """Fit a balanced logistic regression, C chosen by cross-validation over groups of windows of one source.

    `flags` says which windows come from a text with name evidence. It is a feature of its own, outside the vector, so
    that benign words can never lower what a name adds; a negative weight for it is cut to zero.
    """
    features = np.concatenate([vectors, flags[:, None].astype(np.float32)], axis=1)
    cost = _choose(features, labels, weights, groups, seed)
    model = _regress(features, labels, weights, cost)
    return Linear(model[:-2].astype(np.float32), float(model[-1]), max(0.0, float(model[-2])))


def _choose(features: Floats, labels: Bools, weights: Floats, groups: Ints, seed: int) -> float:
    """The strength with the best recall on one third of the groups, fitted on the others; ties go to the weaker one."""
    test = (np.random.default_rng(seed).permutation(int(groups.max()) + 1) % FOLDS == 0)[groups]
    if len(set(labels[test])) < 2 or len(set(labels[~test])) < 2:
        return COSTS[0]
    scored = []
    for cost in COSTS:
        model = _regress(features[~test], labels[~test], weights[~test], cost)
        scored.append((_recall(features[test] @ model[:-1], labels[test]), -cost))
    return -max(scored)[1]


def _recall(scores: Floats, labels: Bools) -> float:
    """Mean recall at the false-positive rates 0.2 %, 1 % and 5 %."""
    cuts = np.quantile(scores[~labels], [0.998, 0.99, 0.95])
    return float(np.mean(scores[labels][:, None] > cuts))


def _regress(features: Floats, labels: Bools, weights: Floats, cost: float) -> Floats:
    """Coefficients and, last, the intercept."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - only fitting pays for the import
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - see above

    model = LogisticRegression(C=cost, class_weight="balanced", solver="newton-cholesky", max_iter=30, tol=1e-3)
    with threadpool_limits(1, user_api="blas"):  # threads of the BLAS cost more than they save on busy cores
        model.fit(features, labels, sample_weight=weights)
    return np.concatenate([model.coef_[0], model.intercept_])


def worst(scores: Floats, owners: Ints, count: int) -> Floats:
    """Largest score per text: `scores[i]` belongs to text `owners[i]`; `-inf` for a text without windows."""
    best = np.full((count, *scores.shape[1:]), -np.inf, np.float32)
    np.maximum.at(best, owners, scores)
    return best


def stack(vectors: Sequence[Floats], dim: int) -> tuple[Floats, Ints]:
    """Windows of several texts as one matrix, with the index of the text of each."""
    owners = np.repeat(np.arange(len(vectors)), [len(v) for v in vectors])
    return (np.concatenate(vectors) if len(vectors) else np.zeros((0, dim), np.float32)), owners
