"""Conformal p-values over all active policies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.benign import everyday
from guards.calibrate import Calibration
from guards.classifier import worst
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


def test_a_policy_more_changes_no_other_part(part: FittedPart, shared: Shared) -> None:
    made = policies(5, part, shared)
    few = Guard.from_parts({k: made[k] for k in list(made)[:2]}, alpha=0.05, shared=shared)
    many = Guard.from_parts(made, alpha=0.05, shared=shared)
    request = [TextPart("/prompt", "user", "What is the capital of France?")]
    for one, other in zip(few.scan(request), many.scan(request), strict=False):
        assert one.policy == other.policy
        assert one.score == pytest.approx(other.score)
        assert one.p_value <= other.p_value  # more policies, larger maxima
