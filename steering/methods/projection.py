"""PCA projection: the subspace in which names to be forgotten differ from unknown ones is removed from the stream.

h' = h - Q Q^T h, with Q the first right singular vectors of the differences between the activations of a question and
of the same question about an invented name, at the name's last token. Rank 1 without centring is the direction ablation
of Arditi et al. (arXiv 2406.11717); projecting states onto the complement of a learned subspace is MRP
(Metamorphosis Representation Projection), which trains its subspace, while here it is a decomposition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from steering.activation import MAX_COLUMNS, Activation, EditProgram, parameters
from steering.engine.local.model import LocalModel
from steering.methods import depth, trained
from steering.methods.contrast import Contrast
from steering.methods.surrogate import Question
from steering.methods.trial import Fitted, Progress, Tells
from steering.methods.unknowing import Aim
from steering.spec import ProjectionSpec

RANKS = (1, 4, 16, 64)


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: ProjectionSpec,
    tells: Tells,
    progress: Progress,
    names: Sequence[str] = (),
    seed: int = 0,
) -> Fitted[Activation]:
    """Search layer and rank; see `steering.methods.depth.fit`. The strength of its points is the rank.

    Or train the subspace and search the share that is removed; see `steering.methods.trained`.
    """
    if spec.trained:
        layers = trained.chosen_layers(model, spec.layer)

        def start(contrast: Contrast, given: Sequence[Aim]) -> Activation:
            rank = spec.rank or trained.RANK
            found = {layer: trained.span(model, contrast, given, layer, rank) for layer in layers}
            return trained.beside([trained.projecting(model, *found[layer], layer) for layer in layers])

        return trained.fit(
            model, questions, values, spec, tells, progress, names, layers=layers, read=layers, start=start, seed=seed
        )
    most = min(MAX_COLUMNS, model.fingerprint.hidden_size // 2)
    ranks = (spec.rank,) if spec.rank is not None else tuple(rank for rank in RANKS if rank <= most)
    return depth.fit(
        model, questions, values, tells, progress,
        mask=spec.mask, layers=depth.candidates(model, spec.layer), strengths=ranks, place="name",
        build=lambda contrast, layer, rank: build(model, contrast, layer, int(rank), spec.share), seed=seed,
    )  # fmt: skip


def basis(contrast: Contrast, layer: int, rank: int) -> Tensor:
    """Orthonormal basis [hidden, k] of the differences' first principal directions, uncentred; k <= rank."""
    at = contrast.layers.index(layer)
    _, scales, right = torch.linalg.svd(contrast.unknown[at] - contrast.known[at], full_matrices=False)
    kept = min(rank, int((scales > scales[0] * 1e-5).sum()))
    chosen: Tensor = right[:kept].T
    return chosen


def build(model: LocalModel, contrast: Contrast, layer: int, rank: int, share: float = 1.0) -> Activation:
    """A program whose columns remove a share of the stream's part in the subspace."""
    found = basis(contrast, layer, rank).to(torch.float32)
    at = contrast.layers.index(layer)
    dose = share * float((contrast.known[at] @ found).norm(dim=1).median() / contrast.norms[at])
    columns = found.shape[1]
    edit = EditProgram(
        method="projection",
        layers=(layer,) * columns,
        strength=dose,
        most=min(1 / share, 16.0),
        model=model.fingerprint,
    )
    vectors = found.cpu().numpy()
    return Activation(edit, vectors, parameters(columns, slope=-share), np.ascontiguousarray(vectors.T))
