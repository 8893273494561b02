"""Serialising a fitted guard."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from guards.guard import Guard, Shared
from guards.part import FittedPart, PartError


def test_round_trip(part: FittedPart) -> None:
    again = FittedPart.from_bytes(part.to_bytes())
    assert np.array_equal(again.weights, part.weights)
    assert replace(again, weights=part.weights) == part
    assert len(part.to_bytes()) < 64 * 1024


@pytest.mark.parametrize("data", [b"", b"junk", save({"a": np.zeros(3)}), save({"head": np.zeros(3, np.uint8)})])
def test_junk_is_refused(data: bytes) -> None:
    with pytest.raises(PartError, match="compile the policy again"):
        FittedPart.from_bytes(data)


@pytest.mark.parametrize("change", [{"bias": float("nan")}, {"boost": -1.0}, {"weights": np.full(256, np.inf, "f4")}])
def test_values_that_cannot_be_are_refused(part: FittedPart, change: dict[str, Any]) -> None:
    with pytest.raises(PartError, match="not finite"):
        FittedPart.from_bytes(replace(part, **change).to_bytes())


def test_another_encoder_is_refused(part: FittedPart, shared: Shared) -> None:
    other = replace(part, fingerprint="wordllama 0.3 0123456789abcdef").to_bytes()
    with pytest.raises(PartError, match=r"policy 000001: fitted with wordllama 0\.3 .* compile it again"):
        Guard.from_parts({"000001": other}, alpha=0.01, shared=shared)
