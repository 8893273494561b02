"""`corrupt` against float64, and the isolation of rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.ops import NOISE_ROWS, corrupt, noise_table, top_k_threshold
from steering.program import EcoProgram, resolve
from steering.spec import Kind, ModelFingerprint

MODEL = ModelFingerprint(id="m", weights_sha256="0" * 64, dtype="float32", hidden_size=16)
N, H = 6, 16


def arguments(dtype: torch.dtype = torch.float32, seed: int = 0) -> dict[str, Any]:
    g = torch.Generator().manual_seed(seed)
    return {
        "embeddings": torch.randn(N, H, generator=g).to(dtype),
        "edited": torch.tensor([False, True, False, True, True, False]),
        "gain": torch.full((N,), -1.0),
        "threshold": torch.full((N,), 0.5),
        "sigma": torch.full((N,), 2.0),
        "dims": torch.full((N,), 3),
        "noise": torch.randn(N, H, generator=g),
        "weight": torch.full((N,), 0.25),
        "substitute": torch.randn(N, H, generator=g),
    }


def by_hand(kind: Kind, e: np.ndarray[Any, Any], strength: float, k: int, noise: Any, sub: Any) -> np.ndarray[Any, Any]:
    """The four corruptions as the paper and the design state them, in float64, for one row."""
    out = e.astype(np.float64).copy()
    largest = np.argsort(-np.abs(e))[:k]
    match kind:
        case "noise":
            out[:k] += strength * noise[:k].astype(np.float64)
        case "zero_top_k":
            out[largest] *= 1 - strength
        case "flip_top_k":
            out[largest] *= 1 - 2 * strength
        case "replace":
            out = (1 - strength) * out + strength * sub.astype(np.float64)
    return out


@pytest.mark.parametrize("kind", ["noise", "zero_top_k", "flip_top_k", "replace"])
@pytest.mark.parametrize(("strength", "dose"), [(1.0, 1.0), (0.5, 1.0), (0.25, 2.0)])
def test_every_kind_equals_its_definition(kind: Kind, strength: float, dose: float) -> None:
    a, k = arguments(), 5
    row = resolve(EcoProgram(kind=kind, dims=k, strength=strength, seed=0, model=MODEL), dose)
    threshold = top_k_threshold(a["embeddings"], row.top_k) if row.top_k else torch.full((N,), row.threshold)
    one = lambda value: torch.full((N,), value)  # noqa: E731
    got = corrupt(a["embeddings"], a["edited"], one(row.gain), threshold, one(row.sigma), torch.full((N,), row.dims),
                  a["noise"], one(row.weight), a["substitute"])  # fmt: skip
    for i in range(N):
        e = a["embeddings"][i].numpy()
        want = by_hand(kind, e, strength * dose, k, a["noise"][i].numpy(), a["substitute"][i].numpy())
        want = want if a["edited"][i] else e.astype(np.float64)
        np.testing.assert_allclose(got[i].double().numpy(), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_unedited_rows_keep_their_bits_whatever_stands_beside_them(dtype: torch.dtype) -> None:
    clean = arguments(dtype)
    clean["embeddings"][0, :4] = torch.tensor([-0.0, math.inf, -math.inf, math.nan], dtype=dtype)
    bits = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}[dtype]
    before = clean["embeddings"].view(bits).clone()
    for name in ("gain", "threshold", "sigma", "noise", "weight", "substitute"):
        for poison in (math.inf, -math.inf, math.nan, 3e38, -0.0):
            a = {k: v.clone() for k, v in clean.items()}
            a[name].fill_(poison)
            after = corrupt(**a).view(bits)
            free = ~a["edited"]
            assert torch.equal(after[free], before[free]), (name, poison)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_strength_beyond_the_dtype_is_capped(dtype: torch.dtype) -> None:
    a = arguments(dtype)
    a["sigma"].fill_(1e38)
    assert torch.isfinite(corrupt(**a)).all()


@given(row=st.integers(0, N - 1), value=st.floats(width=32), seed=st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_one_row_never_reaches_another(row: int, value: float, seed: int) -> None:
    a = arguments(seed=seed)
    reference = corrupt(**a)
    for name in ("embeddings", "noise", "substitute"):
        changed = {k: v.clone() for k, v in a.items()}
        changed[name][row] = value
        got = corrupt(**changed)
        others = [i for i in range(N) if i != row]
        assert torch.equal(got[others], reference[others])


def test_zero_strength_is_no_change() -> None:
    a = arguments()
    a |= {"gain": torch.ones(N), "sigma": torch.zeros(N), "weight": torch.zeros(N)}
    assert torch.equal(corrupt(**a), a["embeddings"])


def test_the_noise_table_is_the_same_everywhere() -> None:
    table = noise_table(4)
    assert table.shape == (NOISE_ROWS, 4)
    assert table.flatten()[:3].tolist() == pytest.approx(GOLDEN, abs=1e-7)
    assert abs(float(table.mean())) < 0.03
    assert abs(float(table.std()) - 1) < 0.03


GOLDEN = [1.24615788, -0.39839017, -0.21912286]
