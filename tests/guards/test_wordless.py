"""Texts of figures: varied, always the same, and nothing that a guard flags."""

from __future__ import annotations

import random

import numpy as np
import pytest

from guards.benign import WORDLESS, benign
from guards.dataset import Dataset, Texts
from guards.encoder import Floats
from guards.guard import Guard
from guards.verdict import TextPart
from guards.wordless import wordless


def test_texts_of_figures() -> None:
    texts = list(wordless(WORDLESS))
    assert texts == list(wordless(WORDLESS))
    assert len(set(texts)) == WORDLESS
    held = [sum(item.text in set(texts) for item in benign(half)) for half in ("fit", "calibration")]
    assert sum(held) == WORDLESS
    assert min(held) > WORDLESS // 5


def test_other_lists_of_numbers_pass(guard: Guard) -> None:
    draw = random.Random(5)
    for _ in range(60):
        coded = " ".join(str(draw.randint(97, 122)) for _ in range(draw.randint(10, 60)))
        text = f"The characters below are decimal codes. {coded}"
        assert not guard.scan([TextPart("/messages/0/content", "user", text)])[0].flagged, text


def test_scores_are_measured_in_deviations_of_texts_of_words() -> None:
    """One window per text; figures far from everything would stretch the unit of the scores and shift its origin."""
    draw = np.random.default_rng(0)

    def texts(vectors: Floats) -> Texts:
        n, none = len(vectors), np.zeros(len(vectors), bool)
        return Texts(vectors.astype(np.float32), np.arange(n), np.arange(n), np.ones(n, np.float32), none, none)

    words, far = draw.normal(size=(200, 8)), draw.normal(size=(40, 8)) - 30
    positive, near = texts(draw.normal(size=(40, 8)) + 1), texts(draw.normal(size=(40, 8)))
    benign_ = texts(np.concatenate([words, far]))
    worded = np.arange(240) < 200
    data = Dataset(positive, near, benign_, texts(np.zeros((0, 8))), worded, seed=1, strongest=0.0)
    scores = data.fit(data.everything()).scores(benign_)
    assert scores[worded].mean() == pytest.approx(0, abs=1e-4)
    assert scores[worded].std() == pytest.approx(1, abs=1e-4)
    assert abs(scores.mean()) > 0.5
