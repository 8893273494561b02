"""The engine program of a policy, as `lethe compile` writes it and an engine loads it.

That of an embedding corruption is a few numbers and one vector, nothing that is derived from forgotten text; that of an
activation edit is in `steering.activation`, that of a logit difference in `steering.assistant`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from steering.activation import Activation, ActivationError, EditProgram, check
from steering.assistant import ROLES, AssistantError, Difference, DifferenceProgram
from steering.assistant import check as check_assistants
from steering.spec import Kind, ModelFingerprint


class ProgramError(ValueError):
    """A program that must not be loaded; the text says why and what to do."""


class EcoProgram(BaseModel):
    """Embedding corruption with everything resolved (absolute units), as the engine runs it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = Field("eco", pattern="^eco$")
    kind: Kind
    dims: int = Field(ge=1, description="noise: leading dimensions; *_top_k: k; replace: unused.")
    strength: float = Field(gt=0, allow_inf_nan=False, description="noise: absolute sigma; others: share in (0, 1].")
    seed: int = Field(ge=0, lt=4096, description="Offset into the noise table.")
    model: ModelFingerprint


@dataclass(frozen=True, slots=True)
class Program:
    """A program in memory. `substitute` is [hidden_size] float32, zeros unless the kind is `replace`."""

    eco: EcoProgram
    substitute: NDArray[np.float32]

    @property
    def model(self) -> ModelFingerprint:
        """The model it was fitted for."""
        return self.eco.model

    def to_bytes(self) -> bytes:
        """Serialise as safetensors; the parameters are in the file's metadata."""
        return save({"substitute": self.substitute}, metadata={"lethe": self.eco.model_dump_json()})


AnyProgram = Program | Activation | Difference
"""What an engine may be given."""


@dataclass(frozen=True, slots=True)
class Row:
    """Scalars of one corrupted token; the arguments of `steering.ops.corrupt` with the same names.

    `top_k` is the k whose magnitude gives the threshold, 0 where the threshold does not depend on the embedding.
    """

    gain: float
    threshold: float
    sigma: float
    weight: float
    dims: int
    top_k: int


def resolve(program: EcoProgram, dose: float) -> Row:
    """Scalars of a program at a dose: the dose multiplies sigma, and the share of the other kinds up to 1."""
    share = min(program.strength * dose, 1.0)
    match program.kind:
        case "noise":
            return Row(1.0, math.inf, program.strength * dose, 0.0, program.dims, 0)
        case "zero_top_k":
            return Row(1.0 - share, math.inf, 0.0, 0.0, 0, program.dims)
        case "flip_top_k":
            return Row(1.0 - 2.0 * share, math.inf, 0.0, 0.0, 0, program.dims)
        case "replace":
            return Row(1.0 - share, -math.inf, 0.0, share, 0, 0)


def load_program(data: bytes) -> AnyProgram:
    """Read and check a program of any sort. Raises `ProgramError`."""
    try:
        tensors = load(data)
        size = int.from_bytes(data[:8], "little")
        described = (json.loads(data[8 : 8 + size]).get("__metadata__") or {})["lethe"]
        method = json.loads(described).get("method")
        if method in ROLES:
            return check_assistants(DifferenceProgram.model_validate_json(described), tensors)
        if method != "eco":
            return check(EditProgram.model_validate_json(described), tensors)
        eco = EcoProgram.model_validate_json(described)
    except (ActivationError, AssistantError) as error:
        raise ProgramError(str(error)) from error
    except (SafetensorError, KeyError, ValueError, AttributeError, ValidationError) as error:
        raise ProgramError(f"not a program of this version: {error}; run `lethe compile` again") from error
    return _corruption(eco, tensors)


def _corruption(eco: EcoProgram, tensors: dict[str, NDArray[np.float32]]) -> Program:
    hidden = eco.model.hidden_size
    substitute = tensors.get("substitute")
    if set(tensors) != {"substitute"} or substitute is None or substitute.shape != (hidden,):
        shapes = {name: t.shape for name, t in tensors.items()}
        raise ProgramError(f"a program holds one tensor, substitute [{hidden}]; this one holds {shapes}")
    if substitute.dtype != np.float32 or not np.isfinite(substitute).all():
        raise ProgramError("tensor substitute must be float32 and finite; run `lethe compile` again")
    if eco.kind != "noise" and eco.strength > 1:
        raise ProgramError(f"strength of kind {eco.kind} is a share in (0, 1], got {eco.strength}")
    if eco.dims > hidden:
        raise ProgramError(f"dims is {eco.dims}, but the model's hidden size is {hidden}")
    return Program(eco, substitute)
