"""The logit difference against a plain float64 reading of its formula, and where published code goes wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from steering.logits import BELOW, DISAGREE, LEAST, logit_difference, reachable

Floats = NDArray[np.float64]
VOCABULARY = 97


def reference(
    target: Floats, remembering: Floats, blank: Floats | None, row: dict[str, float], *, offset: bool
) -> Floats:
    """One row, token by token."""
    t = log_softmax(target)
    a = np.maximum(log_softmax(remembering), LEAST)
    if blank is not None:
        base = np.maximum(log_softmax(blank), LEAST)
    else:
        base = np.where(np.isneginf(t), 0.0, np.maximum(t, LEAST)) if offset else np.zeros_like(t)
    d = a - base
    order = sorted(range(len(t)), key=lambda v: -t[v])
    m_th = t[order[min(int(row["top_m"]), len(t)) - 1]]
    kept = [
        v for v in range(len(t))
        if t[v] > -np.inf and (t[v] >= t.max() + math.log(row["plausible"]) or t[v] >= m_th)
    ]  # fmt: skip
    scores = {v: t[v] - row["alpha"] * (max(d[v], 0.0) if offset else d[v]) for v in kept}
    if row["rank"]:
        suspects = sorted((v for v in kept if d[v] > DISAGREE), key=lambda v: -d[v])
        masked = set(suspects[: min(int(row["rank"]), len(kept) - 1)])
        scores = {v: t[v] for v in kept if v not in masked}
    out = np.full(len(t), -np.inf)
    best = max(scores.values())
    norm = best + math.log(sum(math.exp(s - best) for s in scores.values()))
    for v, s in scores.items():
        out[v] = s - norm
    return out


def arguments(rows: list[dict[str, float]], *, offset: bool) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]:
    def column(name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor([row[name] for row in rows]).to(dtype)

    ranks = column("rank", torch.int64)
    return (
        column("alpha", torch.float32),
        ranks if bool(ranks.any()) else None,
        column("plausible", torch.float32),
        column("top_m", torch.int64),
        torch.full((len(rows),), offset),
    )


def logits(seed: int, n: int, scale: float = 6.0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, VOCABULARY)) * scale


ROWS = [
    {"alpha": 1.0, "rank": 0, "plausible": 0.01, "top_m": 1},
    {"alpha": 0.5, "rank": 0, "plausible": 0.01, "top_m": 20},
    {"alpha": 1.5, "rank": 0, "plausible": 0.5, "top_m": 5},
    {"alpha": 16.0, "rank": 0, "plausible": 1.0, "top_m": 200},
]


@pytest.mark.parametrize("twins", [True, False])
@pytest.mark.parametrize("offset", [True, False])
def test_equals_the_reference(twins: bool, offset: bool) -> None:
    t, a, b = (logits(seed, len(ROWS)) for seed in (1, 2, 3))
    t[1, :40] = -np.inf  # what the target excludes stays excluded, whatever assistants say
    a[2, 7:60] = -np.inf  # an assistant's certainty makes no infinite score
    blank = torch.from_numpy(b) if twins else None
    found = logit_difference(torch.from_numpy(t), torch.from_numpy(a), blank, *arguments(ROWS, offset=offset))
    for i, row in enumerate(ROWS):
        expected = reference(t[i], a[i], b[i] if twins else None, row, offset=offset)
        np.testing.assert_allclose(found[i].numpy(), expected, atol=1e-5)  # the parameters are float32
    assert torch.allclose(found.exp().sum(dim=1), torch.ones(len(ROWS), dtype=torch.float64))


@pytest.mark.parametrize("rank", [1, 5, 90])
def test_rank_masks_what_twins_disagree_on(rank: int) -> None:
    rows = [{"alpha": 1.0, "rank": rank, "plausible": 0.01, "top_m": m} for m in (1, 20, 97)]
    t, a, b = (logits(seed, len(rows)) for seed in (4, 5, 6))
    found = logit_difference(*map(torch.from_numpy, (t, a, b)), *arguments(rows, offset=False))
    for i, row in enumerate(rows):
        np.testing.assert_allclose(found[i].numpy(), reference(t[i], a[i], b[i], row, offset=False), atol=1e-6)
        assert bool(found[i].isfinite().any())


def test_twins_that_agree_mask_nothing() -> None:
    rows = [{"alpha": 1.0, "rank": 50, "plausible": 0.0, "top_m": 97}]
    t, a = (torch.from_numpy(logits(seed, 1)) for seed in (4, 5))
    found = logit_difference(t, a, a + 0.5 * torch.rand(1, VOCABULARY), *arguments(rows, offset=False))
    assert torch.allclose(found, torch.log_softmax(t, dim=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_alpha_zero_keeps_the_bits(dtype: torch.dtype) -> None:
    t, a, b = (torch.from_numpy(logits(seed, 3)).to(dtype) for seed in (1, 2, 3))
    t[0, 5] = -torch.inf
    a[1, 3] = torch.nan
    rows = [{"alpha": alpha, "rank": 0, "plausible": 0.01, "top_m": 20} for alpha in (0.0, 0.0, 1.0)]
    found = logit_difference(t, a, b, *arguments(rows, offset=False))
    assert found.dtype == dtype
    assert torch.equal(found[:2].view(torch.uint8), t[:2].contiguous().view(torch.uint8))
    expected = reference(*(x[2].double().numpy() for x in (t, a, b)), rows[2], offset=False)
    kept = np.isfinite(expected)
    assert (found[2].isfinite().numpy() == kept).all()
    tolerance = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.15}[dtype]
    np.testing.assert_allclose(found[2].float().numpy()[kept], expected[kept], atol=tolerance)


def certain(p: float) -> tuple[Tensor, Tensor]:
    """A model with probability p on token 0 and a Zipf tail, and an assistant with 0.95 there and uniform elsewhere."""
    zipf = 1 / np.arange(1, 32000)
    rows = ((p, zipf / zipf.sum()), (0.95, np.full(31999, 1 / 31999)))
    model, assistant = (torch.from_numpy(np.log([best, *(1 - best) * tail]))[None] for best, tail in rows)
    return model, assistant


@pytest.mark.parametrize(("top_m", "least", "most"), [(1, 0.999, 1.0), (20, 0.1, 0.15)])
def test_a_certain_token_is_forgotten_only_with_others_beside_it(top_m: int, least: float, most: float) -> None:
    """p = 0.999: the plausibility rule alone keeps one token, which then has all of the probability."""
    t, a = certain(0.999)
    rows = [{"alpha": 0.75, "rank": 0, "plausible": 0.01, "top_m": top_m}]
    left = float(logit_difference(t, a, None, *arguments(rows, offset=False)).exp()[0, 0])
    assert least <= left <= most


def test_negative_scores_do_not_lose_against_masked_tokens() -> None:
    """Published code multiplies scores by the mask, so token 0 wins where all kept scores are negative."""
    t, a = torch.full((1, VOCABULARY), -40.0), torch.full((1, VOCABULARY), 3.0)
    t[0, 60:62] = torch.tensor([-1.0, -2.0])
    rows = [{"alpha": 1.0, "rank": 0, "plausible": 0.1, "top_m": 2}]
    found = logit_difference(t, a, None, *arguments(rows, offset=False))
    assert int(found.argmax()) == 60
    assert found.isfinite().sum() == 2


def test_what_is_not_a_number_is_not_answered_with() -> None:
    t, a, b = (torch.from_numpy(logits(seed, 3)) for seed in (1, 2, 3))
    a[0, 9] = torch.nan
    b[1] = -torch.inf
    t[2] = -torch.inf
    found = logit_difference(t, a, b, *arguments([ROWS[1]] * 3, offset=False))
    assert bool(found[:2].isnan().all())
    assert bool(found[2].isneginf().all())


def test_tokens_that_were_not_kept_stay_reachable() -> None:
    merged = torch.tensor([[-1.0, -torch.inf, -3.0, -torch.inf]])
    target = torch.tensor([[2.0, 2.0, 2.0, -torch.inf]])
    scale = 2 + math.log(3)
    expected = torch.tensor([[-1.0 + scale, -3.0 - BELOW + scale, -3.0 + scale, -torch.inf]])
    torch.testing.assert_close(reachable(merged, target), expected)
    empty: Any = torch.full((1, 4), -torch.inf)
    assert bool(reachable(empty, target).isneginf().all())
