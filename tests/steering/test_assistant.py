"""The program of a logit difference: what is refused, and that it comes back as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from steering.assistant import Difference, DifferenceProgram, check
from steering.program import ProgramError, load_program
from steering.spec import ModelFingerprint

MODEL = ModelFingerprint(id="m", weights_sha256="0" * 64, dtype="float32", hidden_size=4)


def made(method: str = "twin", tensors: dict[str, Any] | None = None, **change: Any) -> Difference:
    roles = ("remembering", "blank") if method == "twin" else ("remembering",)
    names = [
        f"{role}.{name}" for role in roles for name in ("layers.0.mlp.weight", "layers.1.mlp.weight", "norm.weight")
    ]
    settings: Any = {"rule": "linear", "layers": 2, "alpha": 1.0, "plausible": 0.01, "top_m": 20, "model": MODEL}
    held = {name: np.ones((2, 4), np.float32) for name in names}
    return Difference(DifferenceProgram(method=method, **settings | change), held | (tensors or {}))


@pytest.mark.parametrize("method", ["uld", "twin"])
def test_there_and_back(method: str) -> None:
    program = made(method)
    again = load_program(program.to_bytes())
    assert isinstance(again, Difference)
    assert again.difference == program.difference
    assert again.tensors.keys() == program.tensors.keys()
    assert set(again.weights("remembering")) == {"layers.0.mlp.weight", "layers.1.mlp.weight", "norm.weight"}
    assert again.model == MODEL
    assert bool(again.weights("blank")) == (method == "twin")


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"layers": 3}, "3 layers"),
    ({"method": "uld", "tensors": {"blank.norm.weight": np.ones(4, np.float32)}}, "no assistant"),
    ({"tensors": {"lm_head.weight": np.ones(4, np.float32)}}, "no assistant"),
    ({"tensors": {"blank.norm.weight": np.full(4, np.nan, np.float32)}}, "finite"),
    ({"tensors": {"blank.norm.weight": np.ones(4, np.float16)}}, "float32"),
    ({"rank": 3}, "only masking by rank"),
    ({"rule": "rank"}, "only masking by rank"),
    ({"rule": "rank", "rank": 5, "top_m": 24}, "raise top_m"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_what_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ProgramError, match=said):
        load_program(made(**change).to_bytes())


def test_too_few_kept_tokens_are_no_program() -> None:
    with pytest.raises(ValueError, match="top_m"):
        made(top_m=19)


def test_a_dose_multiplies() -> None:
    assert made(alpha=0.75).difference.at(2.0) == (1.5, 0)
    rank = check(made(rule="rank", rank=4, top_m=30).difference, made().tensors).difference
    assert rank.at(2.0) == (1.0, 8)
    assert rank.at(0.1) == (1.0, 1)
