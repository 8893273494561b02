"""Conformal p-values over all active policies."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.benign import REQUESTS, benign, everyday
from guards.calibrate import _runs
from guards.classifier import worst
from guards.conformal import Calibration
from guards.guard import Guard, Shared
from guards.part import FittedPart
from guards.verdict import TextPart

VALUES = st.lists(st.floats(-5, 5, width=32), min_size=20, max_size=60)


@given(VALUES, st.floats(-6, 6, width=32), st.sampled_from([0.05, 0.1, 0.3]))
def test_formula_and_cutoff(values: list[float], score: float, alpha: float) -> None:
    maxima = np.array(values, np.float32)
    calibration = Calibration(maxima, alpha)
    expected = (1 + sum(v >= score for v in values)) / (len(values) + 1)
    got = float(calibration.p_values(np.array([score], np.float32))[0])
    assert got == pytest.approx(expected)
    assert (score > calibration.cutoff) == (got <= alpha + 1e-12)


def test_rate_of_exchangeable_scores() -> None:
    draw = np.random.default_rng(0)
    flagged = []
    for _ in range(2000):
        values = draw.normal(size=100).astype(np.float32)
        flagged.append(values[-1] > Calibration(values[:-1], 0.05).cutoff)
    assert 0.035 < np.mean(flagged) <= 0.065


def test_alpha_that_cannot_be_reached() -> None:
    maxima = np.zeros(99, np.float32)
    assert Calibration(maxima, 0.01).smallest == pytest.approx(0.01)
    with pytest.raises(ValueError, match=r"alpha 0\.009 cannot be reached: with 99 calibration texts.* 0\.01; use"):
        Calibration(maxima, 0.009)
    for alpha in (0, 1, -1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            Calibration(maxima, alpha)


def policies(count: int, part: FittedPart, shared: Shared) -> dict[str, bytes]:
    """Policies with random directions, standardised like fitted ones, and no names of their own."""
    made = {}
    for number in range(count):
        weights = np.random.default_rng(number).normal(size=len(part.weights)).astype(np.float32)
        best = worst(shared.corpus.vectors @ weights, shared.corpus.owners, len(shared.corpus.texts))
        scale = float(best.std())
        made[f"{number:06d}"] = replace(
            part, names=(), weights=weights / scale, bias=-float(best.mean()) / scale, threshold=-1e9
        ).to_bytes()
    return made


def test_family_wise_rate_over_many_policies(part: FittedPart, shared: Shared) -> None:
    guard = Guard.from_parts(policies(40, part, shared), alpha=0.05, shared=shared)
    fresh = [item.text for item in everyday(700, seed=4)]
    flagged = [any(v.flagged for v in guard.scan([TextPart("/prompt", "user", t)])) for t in fresh]
    assert 0 < np.mean(flagged) < 0.09  # 40 separate tests at 0.05 each would flag 87 %


@pytest.fixture(scope="module")
def fresh(shared: Shared) -> list[str]:
    """Everyday requests like those of the first stratum, seen by neither half."""
    known = {item.text for item in (*shared.corpus.texts, *benign("fit"))}
    return [item.text for item in everyday(REQUESTS, seed=12) if item.text not in known]


@pytest.mark.parametrize("turns", [1, 4, 16])
def test_the_rate_holds_for_conversations(part: FittedPart, shared: Shared, fresh: list[str], turns: int) -> None:
    """One cutoff for all lengths flags many times alpha of the conversations of 16 turns.

    Of requests only: what mixes two kinds of text is bounded by the sum of both rates.
    """
    alpha = 0.01
    made = replace(part, threshold=-1e9).to_bytes()  # the calibration alone
    guard = Guard.from_parts({"104217": made}, alpha=alpha, shared=shared)
    draw = random.Random(turns)
    flagged = []
    for _ in range(400):
        texts = draw.sample(fresh, turns)
        parts = [TextPart(f"/messages/{i}/content", ("user", "assistant")[i % 2], t) for i, t in enumerate(texts)]
        flagged.append(any(v.source == "classifier" for v in guard.scan(parts)))
    assert np.mean(flagged) <= 2 * alpha


def test_repeated_texts_do_not_raise_the_cutoff(part: FittedPart, shared: Shared) -> None:
    guard = Guard.from_parts({"104217": part.to_bytes()}, alpha=0.01, shared=shared)

    def p_value(*texts: str) -> float:
        return guard.scan([TextPart(f"/messages/{i}/content", "assistant", t) for i, t in enumerate(texts)])[0].p_value

    asked = "What is the name of the pet owl?"
    filler = [f"Sentence number {i} is about the weather in a town by the sea." for i in range(20)]
    assert p_value(asked) < 0.05
    assert p_value(asked, *filler[:1] * 20) < p_value(asked, *filler)


def test_runs_hold_the_borders() -> None:
    best = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]], np.float32)
    border = np.array([[9.0], [-9.0], [-9.0], [-9.0], [-9.0]], np.float32)
    named = np.array([[False], [False], [True], [False], [False]])
    keep = np.array([True, True, True, True, False])
    one, two, four, *_ = _runs(best, border, named, keep, np.array([0.5], np.float32))
    assert one.tolist() == [0.0, 1.0, 2.5, 3.0]
    assert two.tolist() == [9.0, 2.5, 3.5, 3.0]
    assert four.tolist() == [9.5, 3.5, 9.5, 9.5]


def test_a_policy_more_changes_no_other_part(part: FittedPart, shared: Shared) -> None:
    made = policies(5, part, shared)
    few = Guard.from_parts({k: made[k] for k in list(made)[:2]}, alpha=0.05, shared=shared)
    many = Guard.from_parts(made, alpha=0.05, shared=shared)
    request = [TextPart("/prompt", "user", "What is the capital of France?")]
    for one, other in zip(few.scan(request), many.scan(request), strict=False):
        assert one.policy == other.policy
        assert one.score == pytest.approx(other.score)
        assert one.p_value <= other.p_value  # more policies, larger maxima
