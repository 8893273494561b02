"""The engine program of an activation edit: columns that read and write the residual stream after decoder layers.

What a column does is in `steering.ops.edit`. Directions are derived from forgotten text: whoever has the model can ask
which names they point at. A bundle therefore holds such a program encrypted.

Positions: the tokens of the masked prompt spans, and every generated token, because an answer that repeats a name looks
its facts up again. Tokens that the chat template wrote are outside of the windows of `mask: content` and `entities`,
because moving them changes who speaks, not what is known; so is the first token of a prompt with a template, the
attention sink, whose norm is many times that of others. Where the masked text begins at position 0, that is edited too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save

from steering.spec import ModelFingerprint

PHI = ("bias", "constant", "slope", "clipped", "low", "high", "threshold", "step", "step_slope", "normalised", "gates")
"""Rows of the parameter table of `steering.ops.edit`, one number per column each; the last two are 0 or 1."""

MAX_COLUMNS, MAX_LAYERS = 64, 4
"""Columns per layer, and layers, of one program. An engine holds as many for all programs together."""

NEVER = float(np.finfo(np.float32).max)
"""Stands for infinity in a threshold or a bound, so that every number of a program is finite."""
LARGEST = {"float16": 65504.0, "bfloat16": 3.3e38, "float32": NEVER}

Floats = NDArray[np.float32]


class ActivationError(ValueError):
    """Tensors that are no activation program; the text says why."""


class EditProgram(BaseModel):
    """What an activation program is, without its tensors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["redirect", "projection", "nullspace", "cast", "set"]
    layers: tuple[int, ...] = Field(description="For every column the decoder layer after which it acts, ascending.")
    strength: float = Field(gt=0, allow_inf_nan=False, description="Median of |delta| / |h| over content tokens.")
    most: float = Field(gt=0, le=16, description="Largest dose that has a meaning, 1 / share for a projection.")
    model: ModelFingerprint

    @property
    def sites(self) -> tuple[int, ...]:
        """The layers, each once."""
        return tuple(sorted(set(self.layers)))


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation program in memory: `probes` [hidden, k], `phi` [len(PHI), k], `directions` [k, hidden]."""

    edit: EditProgram
    probes: Floats
    phi: Floats
    directions: Floats

    @property
    def model(self) -> ModelFingerprint:
        """The model it was fitted for."""
        return self.edit.model

    def to_bytes(self) -> bytes:
        """Serialise as safetensors; the parameters are in the file's metadata."""
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in TENSORS}
        return save(tensors, metadata={"lethe": self.edit.model_dump_json()})

    def columns(self, layer: int) -> list[int]:
        """Indices of the columns that act after a layer."""
        return [i for i, at in enumerate(self.edit.layers) if at == layer]

    def positions(self, first: int, tokens: int, prompt: int, spans: Sequence[int]) -> list[tuple[int, int]]:
        """Ranges `[start, end)` of positions that are edited among `tokens` positions from `first` on.

        `spans` are the flat masked spans of a prompt of `prompt` tokens; see the module for the rule.
        """
        pairs = [*zip(spans[::2], spans[1::2], strict=True), (prompt, first + tokens)]
        clipped = [(max(a, first), min(b, first + tokens)) for a, b in pairs]
        return [(a, b) for a, b in clipped if a < b]

    def opened(self) -> Activation:
        """The same edit with every gate open, whatever a row says: what a canary on harmless text needs to see."""
        gates = self.phi[PHI.index("gates")] == 1
        phi = np.where(gates, parameters(1, constant=1.0, gates=1.0), self.phi).astype(np.float32)
        return Activation(self.edit, self.probes, phi, self.directions)

    def gate(self, dose: float) -> float:
        """What multiplies the edit at a dose."""
        return min(dose, self.edit.most)


TENSORS = ("probes", "phi", "directions")


def parameters(columns: int, **values: float) -> Floats:
    """Parameter table [len(PHI), columns] of a program whose columns are alike; what is left out has no effect."""
    table = dict.fromkeys(PHI, 0.0) | {"low": -NEVER, "high": NEVER, "threshold": NEVER} | values
    return np.repeat(np.asarray([[table[name]] for name in PHI], np.float32), columns, axis=1)


def check(edit: EditProgram, tensors: Mapping[str, Floats]) -> Activation:
    """Make a program of its parts. Raises `ActivationError` for one that must not reach an edit table."""
    hidden, k = edit.model.hidden_size, len(edit.layers)
    wanted = {"probes": (hidden, k), "phi": (len(PHI), k), "directions": (k, hidden)}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if shapes != wanted:
        raise ActivationError(
            f"an activation program of {k} columns holds {wanted}; this one holds {shapes}: run `lethe compile` again"
        )
    if list(edit.layers) != sorted(edit.layers) or not edit.layers or edit.layers[0] < 0:
        raise ActivationError(f"layers must be ascending and not negative, got {list(edit.layers)}")
    if len(edit.sites) > MAX_LAYERS or _most(edit.layers) > MAX_COLUMNS:
        raise ActivationError(
            f"a program acts at up to {MAX_LAYERS} layers with up to {MAX_COLUMNS} columns each; this one has "
            f"{len(edit.sites)} and {_most(edit.layers)}: lower its rank"
        )
    limit = LARGEST.get(edit.model.dtype, LARGEST["float16"])
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise ActivationError(f"tensor {name} must be float32 and finite; run `lethe compile` again")
        if name != "phi" and np.abs(tensor).max() > limit:
            raise ActivationError(f"tensor {name} leaves the range of {edit.model.dtype}: lower the strength")
    _check_gates(edit, tensors)
    return Activation(edit, *(tensors[name] for name in TENSORS))


def _check_gates(edit: EditProgram, tensors: Mapping[str, Floats]) -> None:
    """A column that opens the gate moves nothing itself, and there is one behind it that does."""
    gates = tensors["phi"][PHI.index("gates")]
    if not np.isin(gates, (0.0, 1.0)).all():
        raise ActivationError("the row `gates` of phi holds a number that is neither 0 nor 1")
    moving = [layer for layer, opens in zip(edit.layers, gates, strict=True) if not opens]
    if not moving or (gates.any() and max(moving) < edit.layers[int(np.flatnonzero(gates)[-1])]):
        raise ActivationError("a column opens a gate behind which no column moves anything")
    if tensors["directions"][gates == 1].any():
        raise ActivationError("the direction of a column that opens a gate must be zero")


def _most(layers: Sequence[int]) -> int:
    return max(layers.count(layer) for layer in layers)
