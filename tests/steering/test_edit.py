"""`edit` against a float64 reference, and the isolation of rows and programs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.activation import NEVER, PHI
from steering.ops import edit

N, H, K = 8, 24, 10
SLOTS = [0, 1, 0, 2, 3, 0, 1, 2]
OWN = {1: range(4), 2: range(4, 7), 3: range(2, 9)}
"""Columns of every slot; the last column belongs to nobody."""


def arguments(dtype: torch.dtype = torch.float32, seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    phi = torch.randn(len(PHI), K, generator=g)
    phi[PHI.index("low")], phi[PHI.index("high")] = -0.5, 0.75
    phi[PHI.index("threshold")] = torch.linspace(-1, 1, K)
    phi[PHI.index("normalised")] = torch.tensor([0.0, 1.0] * (K // 2))
    members = torch.zeros(4, K)
    for slot, columns in OWN.items():
        members[slot, list(columns)] = torch.rand(len(columns), generator=g) + 0.5
    return {
        "hidden": torch.randn(N, H, generator=g).to(dtype),
        "residual": torch.randn(N, H, generator=g).to(dtype) * 3,
        "slot": torch.tensor(SLOTS),
        "gate": torch.rand(N, generator=g) + 0.5,
        "probes": torch.randn(H, K, generator=g) / H**0.5,
        "phi": phi,
        "members": members,
        "directions": torch.randn(K, H, generator=g),
    }


def by_hand(a: dict[str, torch.Tensor]) -> np.ndarray[Any, Any]:
    """The definition, column by column and row by row, in float64."""
    v = {name: tensor.double().numpy() for name, tensor in a.items()}
    out = v["hidden"].copy()
    for i, slot in enumerate(SLOTS):
        if slot == 0:
            continue
        h = v["hidden"][i] + v["residual"][i]
        for k in OWN[slot]:
            p = dict(zip(PHI, v["phi"][:, k], strict=True))
            z = h @ v["probes"][:, k]
            if p["normalised"]:
                z /= math.sqrt(np.mean(h**2) + 1e-6)
            z += p["bias"]
            value = p["constant"] + p["slope"] * z + p["clipped"] * min(max(z, p["low"]), p["high"])
            value += p["step"] + p["step_slope"] * z if z > p["threshold"] else 0.0
            out[i] += value * v["members"][slot, k] * v["gate"][i] * v["directions"][k]
    return out


def bits(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous().view({4: torch.int32, 2: torch.int16}[x.element_size()])


@pytest.mark.parametrize("seed", range(5))
def test_equals_its_definition(seed: int) -> None:
    a = arguments(seed=seed)
    want = by_hand(a)
    np.testing.assert_allclose(edit(**a).double().numpy(), want, rtol=2e-5, atol=2e-5)
    wide = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in a.items()}
    np.testing.assert_allclose(edit(**wide).numpy(), want, rtol=1e-12, atol=1e-12)


def test_the_stream_may_come_in_one_piece() -> None:
    a = arguments()
    summed = edit(**{**a, "hidden": a["hidden"] + a["residual"], "residual": None})  # type: ignore[arg-type]
    torch.testing.assert_close(summed, edit(**a) + a["residual"], rtol=1e-5, atol=1e-5)


def test_published_forms_are_columns() -> None:
    """A constant, a clipped rank-1 gate, a projection and a clamped sparse feature, each against its own formula."""
    g = torch.Generator().manual_seed(3)
    h, r, u = torch.randn(4, H, generator=g), torch.randn(H, generator=g), torch.randn(H, generator=g)
    q = torch.linalg.qr(torch.randn(H, 3, generator=g))[0]
    encode, decode, bias = torch.randn(H, 5, generator=g), torch.randn(5, H, generator=g), torch.randn(5, generator=g)

    def run(probes: torch.Tensor, directions: torch.Tensor, **phi: Any) -> torch.Tensor:
        k = probes.shape[1]
        values = dict.fromkeys(PHI, 0.0) | {"low": -NEVER, "high": NEVER, "threshold": NEVER} | phi
        table = torch.stack([torch.as_tensor(values[name]).expand(k) for name in PHI]).float()
        slot, gate = torch.ones(4, dtype=torch.int64), torch.ones(4)
        return edit(h, None, slot, gate, probes, table, torch.tensor([[0.0] * k, [1.0] * k]), directions)

    f = h @ encode + bias
    clamped = h + torch.where(f > 0.4, -7 - f, 0.0) @ decode
    for got, want in (
        (run(torch.zeros(H, 1), r[None], constant=3.0), h + 3 * r),
        (run(u[:, None], r[None], clipped=1.0, low=0.0, high=1.0), h + (h @ u).clamp(0, 1)[:, None] * r),
        (run(q, q.T, slope=-1.0), h - h @ q @ q.T),
        (run(encode, decode, bias=bias, threshold=0.4, step=-7.0, step_slope=-1.0), clamped),
    ):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_without_a_slot_keep_their_bits(dtype: torch.dtype) -> None:
    clean = arguments(dtype)
    clean["hidden"][0, :4] = torch.tensor([-0.0, math.inf, -math.inf, math.nan], dtype=dtype)
    free = clean["slot"] == 0
    for name in ("residual", "gate", "probes", "phi", "members", "directions"):
        for poison in (math.inf, -math.inf, math.nan, 3e38, -0.0):
            a = {k: v.clone() for k, v in clean.items()}
            a[name].fill_(min(poison, torch.finfo(a[name].dtype).max) if poison == 3e38 else poison)
            assert torch.equal(bits(edit(**a))[free], bits(clean["hidden"])[free]), (name, poison)


@given(
    row=st.integers(0, N - 1),
    value=st.one_of(st.floats(width=32), st.sampled_from([-0.0, 3e38])),
    seed=st.integers(0, 30),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
@settings(max_examples=80, deadline=None)
def test_one_row_never_reaches_another(row: int, value: float, seed: int, dtype: torch.dtype) -> None:
    a = arguments(dtype, seed)
    reference = bits(edit(**a))
    others = [i for i in range(N) if i != row]
    for name in ("hidden", "residual", "gate"):
        changed = {k: v.clone() for k, v in a.items()}
        changed[name][row] = value
        assert torch.equal(bits(edit(**changed))[others], reference[others]), name


@given(column=st.integers(0, K - 1), value=st.one_of(st.floats(width=32), st.sampled_from([-0.0, 3e38])))
@settings(max_examples=80, deadline=None)
def test_one_program_never_reaches_another(column: int, value: float) -> None:
    a = arguments()
    reference = bits(edit(**a))
    others = [i for i, slot in enumerate(SLOTS) if slot == 0 or column not in OWN[slot]]
    for name in ("probes", "phi", "directions"):
        changed = {k: v.clone() for k, v in a.items()}
        place = (column, slice(None)) if name == "directions" else (slice(None), column)
        changed[name][place] = value
        assert torch.equal(bits(edit(**changed))[others], reference[others]), name


@pytest.mark.parametrize("name", ["directions", "probes", "phi", "members", "gate"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_rows_whose_edit_is_not_finite_lose_their_stream(name: str, value: float) -> None:
    """They must neither come out as if the edit had been made nor write NaN into the KV cache."""
    a = arguments()
    reference = edit(**a)
    place: dict[str, Any] = {"directions": (0, 5), "probes": (5, 0), "phi": (1, 0), "members": (1, 0), "gate": 1}
    a[name][place[name]] = value
    hit = [1] if name == "gate" else [i for i, slot in enumerate(SLOTS) if slot == 1]
    others = [i for i in range(N) if i not in hit]
    got = edit(**a)
    assert torch.equal(got[hit], -a["residual"][hit])
    assert torch.equal(got[others], reference[others])
    alone = edit(**{**a, "residual": None})  # type: ignore[arg-type]
    assert not alone[hit].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_strength_beyond_the_dtype_is_capped(dtype: torch.dtype) -> None:
    a = arguments(dtype)
    a["members"] *= 1e30
    assert torch.isfinite(edit(**a)).all()
