"""The linear model."""

from __future__ import annotations

import numpy as np

from guards.classifier import fit_linear, stack, worst


def test_evidence_is_never_negative_and_the_model_separates() -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(300) % 3 == 0
    vectors = (draw.normal(0, 1, (300, 8)) + 2 * labels[:, None] * np.eye(8)[0]).astype(np.float32)
    flags = ~labels  # evidence only on negatives: a free fit would make it count against a verdict
    model = fit_linear(vectors, flags, labels, np.ones(300, np.float32), np.arange(300), seed=1)
    assert model.evidence == 0
    scores = model.scores(vectors)
    assert np.mean(scores[labels][:, None] > scores[~labels]) > 0.85


def test_same_seed_same_model() -> None:
    draw = np.random.default_rng(3)
    vectors = draw.normal(0, 1, (90, 4)).astype(np.float32)
    labels = vectors[:, 0] > 0
    arguments = (vectors, labels, labels, np.ones(90, np.float32), np.arange(90))
    assert np.array_equal(fit_linear(*arguments, seed=7).weights, fit_linear(*arguments, seed=7).weights)


def test_worst_window_per_text() -> None:
    vectors, owners = stack([np.ones((2, 3), np.float32), np.zeros((0, 3), np.float32), np.ones((1, 3), np.float32)], 3)
    assert vectors.shape == (3, 3)
    assert worst(np.array([1, 5, 2], np.float32), owners, 3).tolist() == [5, -np.inf, 2]
