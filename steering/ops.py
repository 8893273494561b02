"""Pure tensor functions: what the methods do to embeddings. No state, no engine, no host branch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

NOISE_ROWS = 4096
"""Rows of the shared noise table; position t of a program with seed s reads row (s + t) mod 4096."""


@lru_cache(maxsize=2)
def noise_table(hidden_size: int) -> Tensor:
    """Standard normal table [4096, hidden_size], float32: the same numbers on every machine and rank.

    Drawn with NumPy's Philox, whose stream is fixed by its definition, not with torch, whose streams differ between
    devices and may differ between builds.
    """
    generator = np.random.Generator(np.random.Philox(key=0x1E7E))
    return torch.from_numpy(generator.standard_normal((NOISE_ROWS, hidden_size), dtype=np.float32))


def corrupt(
    embeddings: Tensor,
    edited: Tensor,
    gain: Tensor,
    threshold: Tensor,
    sigma: Tensor,
    dims: Tensor,
    noise: Tensor,
    weight: Tensor,
    substitute: Tensor,
) -> Tensor:
    """Embedding corruption e' = A * e + B, elementwise, for the rows where `edited` holds (ECO, arXiv 2406.07933).

        A = gain where |e| >= threshold, else 1
        B = sigma * noise in the first `dims` dimensions + weight * substitute

    Noise is sigma > 0 with threshold = inf; zero-top-k is gain = 0 and flip-top-k gain = -1 with the k-th largest |e|
    as threshold; replace is gain = 1 - m, threshold = -inf, weight = m.

    Args:
        embeddings: [n, hidden], any floating dtype.
        edited: [n], bool. Other rows keep their bits, whatever the parameters hold: selection is by `where`, because a
            multiplication by zero turns an infinity anywhere in a program into NaN in everybody's rows.
        gain, threshold, sigma, weight: [n], float32.
        dims: [n], int64, number of leading dimensions that receive noise.
        noise, substitute: [n, hidden], float32.

    Returns:
        [n, hidden] in the dtype of `embeddings`; computed in float32 (float64 for float64 input) from the uncorrupted
        row and capped to the dtype's range, so that a large sigma cannot become an infinity in float16.
    """
    wide = torch.float64 if embeddings.dtype == torch.float64 else torch.float32
    e = embeddings.to(wide)
    scale = torch.where(e.abs() >= threshold.to(wide)[:, None], gain.to(wide)[:, None], 1.0)
    in_noise = torch.arange(e.shape[1], device=e.device)[None, :] < dims[:, None]
    shift = torch.where(in_noise, sigma.to(wide)[:, None] * noise.to(wide), 0.0)
    shift = shift + weight.to(wide)[:, None] * substitute.to(wide)
    limit = torch.finfo(embeddings.dtype).max
    changed = (scale * e + shift).clamp(-limit, limit).to(embeddings.dtype)
    return torch.where(edited[:, None], changed, embeddings)


def top_k_threshold(embeddings: Tensor, k: int) -> Tensor:
    """Value of the k-th largest |e| of every row: [n, hidden] -> [n], float32. `k` is capped to the row's length."""
    magnitude = embeddings.to(torch.float32).abs()
    return torch.topk(magnitude, min(k, magnitude.shape[1]), dim=1).values[:, -1]
