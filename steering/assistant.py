"""The engine program of a logit difference: assistants, and how what they say is taken from what the model says.

An assistant is the first layers of the served model with its norm and head, trained further; embeddings and head are
those of the served model and not part of the program. One that remembers what must be forgotten tells it to whoever
runs it, so a bundle holds the program encrypted. Torch-free.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save

from steering.spec import LEAST_KEPT, ModelFingerprint

REMEMBERING, BLANK = "remembering", "blank"
ROLES = {"uld": (REMEMBERING,), "twin": (REMEMBERING, BLANK)}
"""Assistants of a method: one that knows what must be forgotten, and for twins one that never did."""
TENSOR = re.compile(r"^(remembering|blank)\.(?:layers\.(\d+)|norm)\..+$")

Tensors = Mapping[str, NDArray[np.float32]]


class AssistantError(ValueError):
    """Tensors that are no program of a logit difference; the text says why."""


class DifferenceProgram(BaseModel):
    """What a program of a logit difference is, without its tensors. See `steering.logits.logit_difference`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["uld", "twin"]
    rule: Literal["linear", "offset", "rank"]
    layers: int = Field(ge=1, description="Decoder layers of every assistant.")
    alpha: float = Field(gt=0, le=16, allow_inf_nan=False, description="Weight of the difference.")
    rank: int = Field(0, ge=0, description="rank: how many tokens are masked; 0 for the other rules.")
    plausible: float = Field(ge=0, le=1, description="Share of the best probability above which tokens are kept.")
    top_m: int = Field(ge=LEAST_KEPT, description="So many best tokens are kept in any case.")
    model: ModelFingerprint

    def at(self, dose: float) -> tuple[float, int]:
        """(alpha, rank) at a dose, which multiplies alpha, or the rank."""
        return (1.0, max(1, round(self.rank * dose))) if self.rule == "rank" else (self.alpha * dose, 0)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Difference:
    """A program in memory. `tensors`: ROLE.layers.NUMBER.NAME and ROLE.norm.NAME, float32. Equal to itself only."""

    difference: DifferenceProgram
    tensors: Tensors

    @property
    def model(self) -> ModelFingerprint:
        """The model it was fitted for."""
        return self.difference.model

    @property
    def roles(self) -> tuple[str, ...]:
        """The assistants that it needs."""
        return ROLES[self.difference.method]

    def weights(self, role: str) -> dict[str, NDArray[np.float32]]:
        """Tensors of one assistant, named as in the served model below `model`."""
        start = f"{role}."
        return {name.removeprefix(start): t for name, t in self.tensors.items() if name.startswith(start)}

    def to_bytes(self) -> bytes:
        """Serialise as safetensors; the parameters are in the file's metadata."""
        return save(dict(self.tensors), metadata={"lethe": self.difference.model_dump_json()})


def check(difference: DifferenceProgram, tensors: Tensors) -> Difference:
    """Make a program of its parts. Raises `AssistantError`; whether shapes fit, the engine sees when it hosts them."""
    found: dict[str, set[int]] = {role: set() for role in ROLES[difference.method]}
    for name, tensor in tensors.items():
        match = TENSOR.match(name)
        if match is None or match[1] not in found:
            raise AssistantError(f"tensor {name} belongs to no assistant of the method {difference.method}")
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise AssistantError(f"tensor {name} must be float32 and finite; run `lethe compile` again")
        if match[2] is not None:
            found[match[1]].add(int(match[2]))
    wanted = set(range(difference.layers))
    if lacking := [role for role, layers in found.items() if layers != wanted]:
        raise AssistantError(f"assistants have {difference.layers} layers, but {', '.join(lacking)} has others")
    if (difference.rule == "rank") != (difference.rank > 0):
        raise AssistantError(f"rule {difference.rule} with rank {difference.rank}: only masking by rank has one")
    if difference.rank + LEAST_KEPT > difference.top_m:
        raise AssistantError(
            f"rank {difference.rank} of {difference.top_m} kept tokens leaves fewer than {LEAST_KEPT}: raise top_m"
        )
    return Difference(difference, tensors)
