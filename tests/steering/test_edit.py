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
GATES = (1, 6, 7)
"""Columns that open the gate of their slot."""


def arguments(dtype: torch.dtype = torch.float32, seed: int = 0) -> dict[str, Any]:
    g = torch.Generator().manual_seed(seed)
    phi = torch.randn(len(PHI), K, generator=g)
    phi[PHI.index("low")], phi[PHI.index("high")] = -0.5, 0.75
    phi[PHI.index("threshold")] = torch.linspace(-1, 1, K)
    phi[PHI.index("normalised")] = torch.tensor([0.0, 1.0] * (K // 2))
    phi[PHI.index("gates")] = torch.tensor([float(i in GATES) for i in range(K)])
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


def by_hand(a: dict[str, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The definition, column by column and row by row, in float64."""
    v = {name: tensor.double().numpy() for name, tensor in a.items()}
    out, gates = v["hidden"].copy(), v["gate"].copy()
    for i, slot in enumerate(SLOTS):
        if slot == 0:
            continue
        h = v["hidden"][i] + v["residual"][i]
        opened = 0.0
        for k in sorted(OWN[slot], key=lambda k: k not in GATES):
            p = dict(zip(PHI, v["phi"][:, k], strict=True))
            z = h @ v["probes"][:, k]
            if p["normalised"]:
                z /= math.sqrt(np.mean(h**2) + 1e-6)
            z += p["bias"]
            value = p["constant"] + p["slope"] * z + p["clipped"] * min(max(z, p["low"]), p["high"])
            value += p["step"] + p["step_slope"] * z if z > p["threshold"] else 0.0
            if k in GATES:
                opened += value * v["members"][slot, k]
                gates[i] = v["gate"][i] * min(max(opened, 0.0), 1.0)
            else:
                out[i] += value * v["members"][slot, k] * gates[i] * v["directions"][k]
    return out, gates


def bits(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous().view({4: torch.int32, 2: torch.int16}[x.element_size()])


@pytest.mark.parametrize("seed", range(5))
def test_equals_its_definition(seed: int) -> None:
    a = arguments(seed=seed)
    want, gates = by_hand(a)
    got, behind = edit(**a)
    assert behind.dtype == torch.float32
    np.testing.assert_allclose(got.double().numpy(), want, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(behind.double().numpy(), gates, rtol=2e-5, atol=2e-5)
    wide = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in a.items()}
    for found, expected in zip(edit(**wide), (want, gates), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_columns_that_open_no_gate_need_none(seed: int) -> None:
    a = arguments(seed=seed)
    a["phi"][PHI.index("gates")] = 0
    for one, other in zip(edit(**a), edit(**a, gated=False), strict=True):
        assert torch.equal(bits(one), bits(other))


def test_gates_are_closed_half_open_and_open() -> None:
    """Over the seeds of `test_equals_its_definition` all three happen, or the test would show little."""
    behind = torch.cat([edit(**(a := arguments(seed=seed)))[1] / a["gate"] for seed in range(5)])
    assert (behind == 0).any()
    assert ((behind > 0.01) & (behind < 0.99)).any()
    assert (behind == 1).any()


def test_an_open_gate_is_the_edit_without_it_and_a_closed_one_is_none() -> None:
    """Two layers: the condition at the first, what it lets through at the second; slots without one keep their bits."""
    a = arguments()
    slot, gate = a["slot"], a["gate"]
    first = {**a, "phi": a["phi"].clone()}
    for name, value in {"gates": 1, "slope": 0, "clipped": 0, "constant": 0, "step": 1, "step_slope": 0}.items():
        first["phi"][PHI.index(name)] = value
    first["directions"] = torch.zeros_like(a["directions"])
    first["members"] = a["members"].clone()
    first["members"][1:, 1:] = 0  # only slot 1 has a column here
    z = (a["hidden"] + a["residual"]) @ a["probes"][:, 0] + a["phi"][PHI.index("bias"), 0]
    between = z[slot == 1].mean()
    first["phi"][PHI.index("threshold"), 0] = between
    moved, behind = edit(**first)
    assert torch.equal(moved, a["hidden"])
    second = {**a, "phi": a["phi"].clone()}
    second["phi"][PHI.index("gates")] = 0
    got, want = edit(**{**second, "gate": behind})[0], edit(**second)[0]
    opened = (z > between) & (slot == 1)
    weight = float(a["members"][1, 0])
    assert torch.allclose(behind[opened], gate[opened] * min(weight, 1.0))
    shut = (slot == 1) & ~opened
    assert torch.equal(bits(got)[shut], bits(a["hidden"])[shut])
    others = slot != 1
    assert torch.equal(bits(behind)[others], bits(gate)[others])
    assert torch.equal(bits(got)[others], bits(want)[others])


def test_the_stream_may_come_in_one_piece() -> None:
    a = arguments()
    summed = edit(**{**a, "hidden": a["hidden"] + a["residual"], "residual": None})[0]
    torch.testing.assert_close(summed, edit(**a)[0] + a["residual"], rtol=1e-5, atol=1e-5)


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
        return edit(h, None, slot, gate, probes, table, torch.tensor([[0.0] * k, [1.0] * k]), directions)[0]

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
            got, behind = edit(**a)
            assert torch.equal(bits(got)[free], bits(clean["hidden"])[free]), (name, poison)
            assert torch.equal(bits(behind)[free], bits(a["gate"])[free]), (name, poison)


@given(
    row=st.integers(0, N - 1),
    value=st.one_of(st.floats(width=32), st.sampled_from([-0.0, 3e38])),
    seed=st.integers(0, 30),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
@settings(max_examples=80, deadline=None)
def test_one_row_never_reaches_another(row: int, value: float, seed: int, dtype: torch.dtype) -> None:
    a = arguments(dtype, seed)
    reference = [bits(tensor) for tensor in edit(**a)]
    others = [i for i in range(N) if i != row]
    for name in ("hidden", "residual", "gate"):
        changed = {k: v.clone() for k, v in a.items()}
        changed[name][row] = value
        for got, want in zip(edit(**changed), reference, strict=True):
            assert torch.equal(bits(got)[others], want[others]), name


@given(column=st.integers(0, K - 1), value=st.one_of(st.floats(width=32), st.sampled_from([-0.0, 3e38])))
@settings(max_examples=80, deadline=None)
def test_one_program_never_reaches_another(column: int, value: float) -> None:
    a = arguments()
    reference = [bits(tensor) for tensor in edit(**a)]
    others = [i for i, slot in enumerate(SLOTS) if slot == 0 or column not in OWN[slot]]
    for name in ("probes", "phi", "directions"):
        changed = {k: v.clone() for k, v in a.items()}
        place = (column, slice(None)) if name == "directions" else (slice(None), column)
        changed[name][place] = value
        for got, want in zip(edit(**changed), reference, strict=True):
            assert torch.equal(bits(got)[others], want[others]), name


@pytest.mark.parametrize("name", ["directions", "probes", "phi", "members", "gate"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_rows_whose_edit_is_not_finite_lose_their_stream(name: str, value: float) -> None:
    """They must neither come out as if the edit had been made nor write NaN into the KV cache."""
    a = arguments()
    reference, _ = edit(**a)
    place: dict[str, Any] = {"directions": (0, 5), "probes": (5, 0), "phi": (1, 0), "members": (1, 0), "gate": 1}
    a[name][place[name]] = value
    hit = [1] if name == "gate" else [i for i, slot in enumerate(SLOTS) if slot == 1]
    others = [i for i in range(N) if i not in hit]
    got, _ = edit(**a)
    assert torch.equal(got[hit], -a["residual"][hit])
    assert torch.equal(got[others], reference[others])
    alone, _ = edit(**{**a, "residual": None})
    assert not alone[hit].any()


@pytest.mark.parametrize("name", ["probes", "phi", "members"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_rows_whose_gate_is_not_finite_lose_their_stream(name: str, value: float) -> None:
    a = arguments()
    reference, before = edit(**a)
    place: dict[str, Any] = {"probes": (5, GATES[0]), "phi": (1, GATES[0]), "members": (1, GATES[0])}
    a[name][place[name]] = value
    hit, others = ([i for i in range(N) if (SLOTS[i] == 1) is side] for side in (True, False))
    got, behind = edit(**a)
    assert torch.equal(got[hit], -a["residual"][hit])
    assert behind[hit].isnan().all()
    assert torch.equal(got[others], reference[others])
    assert torch.equal(behind[others], before[others])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_strength_beyond_the_dtype_is_capped(dtype: torch.dtype) -> None:
    a = arguments(dtype)
    a["members"] *= 1e30
    assert torch.isfinite(edit(**a)[0]).all()
