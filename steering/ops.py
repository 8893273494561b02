"""Pure tensor functions: what the methods do to embeddings. No state, no engine, no host branch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from steering.activation import PHI

NOISE_ROWS = 4096
"""Rows of the shared noise table; position t of a program with seed s reads row (s + t) mod 4096."""
RMS_EPSILON = 1e-6


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


def edit(
    hidden: Tensor,
    residual: Tensor | None,
    slot: Tensor,
    gate: Tensor,
    probes: Tensor,
    phi: Tensor,
    members: Tensor,
    directions: Tensor,
    *,
    gated: bool = True,
) -> tuple[Tensor, Tensor]:
    """Activation edit after a decoder layer: hidden' = hidden + y V for the rows with a slot, and the gates behind it.

        z      = h U + bias        h = hidden + residual; of a normalised column h U / rms(h) + bias
        phi(z) = constant + slope z + clipped clip(z, low, high) + (step + step_slope z where z > threshold, else 0)
        y      = phi(z) M[slot] G where M[slot] is not 0, else 0
        G     <- G clip(sum of phi(z) M[slot] over the columns that open the gate, 0, 1), before y is computed

    One operation for most published activation methods (unified view of "Towards a Unified View of Parameter-Efficient
    Transfer Learning", arXiv 2110.04366): a redirection is a constant, a projection slope -1 on an orthonormal basis, a
    clamped sparse feature a step, the condition of CAST (arXiv 2409.05907) a step that opens the gate. A gate depends
    on nothing but the row itself, and a slot without such columns keeps its own. Selection is by `where` throughout: a
    multiplication by zero would turn an infinity in one program into NaN for everybody. A row whose edit is not finite
    gets an empty stream, hidden' = -residual: it must not pass for an edited one, and not be NaN either, because NaN in
    a freed block of the KV cache reaches whoever gets the block next (attention multiplies what lies behind the end of
    a sequence by zero).

    Args:
        hidden: [n, hidden], output of the layer, any floating dtype.
        residual: [n, hidden] that the next layer adds, or None where `hidden` is the whole stream.
        slot: [n], int64, row of `members`; 0 leaves the row's bits as they are.
        gate: [n], float32, G: the dose of the row's request, times what earlier layers have left of it.
        probes: U, [hidden, columns], float32.
        phi: [len(PHI), columns], float32.
        members: M, [slots, columns], float32: which columns a slot uses, and how much of each.
        directions: V, [columns, hidden], float32.
        gated: False where it is known that no column opens a gate, which saves their share of the work.

    Returns:
        hidden': [n, hidden] in the dtype of `hidden`; computed in float32 (float64 for float64 input) and capped to the
        dtype's range. G: [n], for the layers behind this one.
    """
    wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    own = hidden.to(wide)
    h = own if residual is None else own + residual.to(wide)
    p = dict(zip(PHI, phi.to(wide), strict=True))
    z = h @ probes.to(wide)
    rms = h.square().mean(dim=1, keepdim=True).add(RMS_EPSILON).sqrt()
    z = torch.where(p["normalised"] != 0, z / rms, z) + p["bias"]
    stepped = torch.where(z > p["threshold"], p["step"] + p["step_slope"] * z, 0.0)
    value = p["constant"] + p["slope"] * z + p["clipped"] * z.clamp(p["low"], p["high"]) + stepped
    usable = directions.isfinite().all(dim=1)
    value = torch.where(usable, value, torch.nan)
    weight = members.to(wide)[slot]
    value, used, g, behind = value * weight, weight != 0, gate.to(wide), gate
    if gated:
        opening = used & (p["gates"] != 0)
        opened = torch.where(opening, value, 0.0).sum(dim=1)
        opened = torch.where(opened.isfinite(), opened.clamp(0.0, 1.0), torch.nan)
        conditional = opening.any(dim=1) & (slot > 0)
        g = torch.where(conditional, g * opened, g)
        used, behind = used & ~opening, torch.where(conditional, g.to(gate.dtype), gate)
    y = torch.where(used, value * g[:, None], 0.0)
    moved = own + y @ torch.where(usable[:, None], directions.to(wide), 0.0)
    limit = torch.finfo(hidden.dtype).max
    empty = torch.zeros_like(hidden) if residual is None else -residual
    sound = moved.isfinite().all(dim=1, keepdim=True) & ~g.isnan()[:, None]
    changed = torch.where(sound, moved.clamp(-limit, limit).to(hidden.dtype), empty)
    return torch.where((slot > 0)[:, None], changed, hidden), behind
