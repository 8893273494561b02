"""Exact bounds of a share."""

from __future__ import annotations

import pytest

from guards import share


def test_bounds_are_those_of_clopper_and_pearson() -> None:
    assert share.lower(59, 59) == pytest.approx(0.05 ** (1 / 59))
    assert share.upper(0, 6300) == pytest.approx(1 - 0.05 ** (1 / 6300))
    assert share.upper(2, 6300) < 0.001 < share.upper(3, 6300) * 1.3
    assert share.lower(0, 10) == 0
    assert share.upper(10, 10) == 1
    assert share.upper(0, 0) == 1
