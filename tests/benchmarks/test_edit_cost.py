"""What edit sites cost: the sites edit what is flagged, and the figures are those of the pairs."""

from __future__ import annotations

import pytest
import torch

from benchmarks.edit_cost import ROWS, Layers, Shape, pairs, summary

SMALL = Shape("none", 32, 6, 2, 1, 64)


@pytest.fixture(scope="module")
def layers() -> Layers:
    return Layers(SMALL, "cpu")


@pytest.mark.parametrize("flagged", [0, 1, ROWS])
def test_flagged_rows_are_edited_and_no_others(layers: Layers, flagged: int) -> None:
    with torch.inference_mode():
        banks = layers.banks(flagged, 8, 4)
        bare, edited = layers.bare(), layers.run(banks)
    assert len(banks) == 4
    assert all(int(bank.get_buffer("echo")) == 1 for bank in banks.values())
    assert torch.equal(bare[flagged:], edited[flagged:])
    assert all(not torch.equal(a, b) for a, b in zip(bare[:flagged], edited[:flagged], strict=True))


def test_both_sides_of_a_pair_run_as_often_and_in_turn() -> None:
    ran: list[str] = []
    ratios = pairs(lambda: ran.append("bare"), lambda: ran.append("edited"), 4, "cpu")
    assert ran == ["edited", "bare", "bare", "edited"] * 2
    assert len(ratios) == 4


def test_the_interval_of_a_median_is_of_order_statistics() -> None:
    """Of 15 the 4th and the 12th: P(4 <= B(15, 1/2) <= 11) = 0.965."""
    found = summary([i / 10 for i in range(1, 16)])
    assert found == {"ratio": 0.8, "lo": 0.4, "hi": 1.2}
    assert summary([3.0, 1.0, 2.0]) == {"ratio": 2.0, "lo": 1.0, "hi": 3.0}
