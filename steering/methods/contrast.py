"""What a method learns from: the residual stream of questions about what must be forgotten and about unknown names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from steering.engine.local.model import LocalModel
from steering.methods.trial import prompt

BATCH = 16

Place = Literal["last", "name"]
"""last: the token before the answer begins; name: the last token of the last name."""
Asked = tuple[str, Sequence[tuple[int, int]]]
"""A question and the character ranges of the names in it."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """Activations after decoder layers.

    Attributes:
        layers: the layers, counted from 0.
        known, unknown: [layers, questions, hidden]; question i of both is the same but for its names.
        norms: [layers], median norm over the content tokens of all known questions.
        names: [layers, tokens, hidden], every token of the names in known questions.
    """

    layers: tuple[int, ...]
    known: Tensor
    unknown: Tensor
    norms: Tensor
    names: Tensor


def collect(
    model: LocalModel, known: Sequence[Asked], unknown: Sequence[Asked], layers: Sequence[int], place: Place
) -> Contrast:
    """Run both sides through the model. Content tokens are those of the user's text but the attention sink."""
    streams, norms, names = _streams(model, known, layers, place)
    others, _, _ = _streams(model, unknown, layers, place)
    return Contrast(tuple(layers), streams, others, norms.median(dim=1).values, names)


def _streams(
    model: LocalModel, asked: Sequence[Asked], layers: Sequence[int], place: Place
) -> tuple[Tensor, Tensor, Tensor]:
    """(Stream at the place [layers, questions, hidden], norms [layers, content tokens], stream of the names)."""
    found, norms, named = [], [], []
    rows = [(prompt(model, text, [(0, len(text))]), prompt(model, text, spans)[1]) for text, spans in asked]
    for at in range(0, len(rows), BATCH):
        part = rows[at : at + BATCH]
        streams = model.activations([ids for (ids, _), _ in part], layers)
        for stream, ((ids, content), names) in zip(streams, part, strict=True):
            found.append(stream[:, names[-1] - 1 if place == "name" else len(ids) - 1])
            named.append(stream[:, [t for a, b in zip(names[::2], names[1::2], strict=True) for t in range(a, b)]])
            inside = [t for a, b in zip(content[::2], content[1::2], strict=True) for t in range(a, b) if t > 0]
            norms.append(stream[:, inside].norm(dim=2))
    return torch.stack(found, dim=1), torch.cat(norms, dim=1), torch.cat(named, dim=1)
