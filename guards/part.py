"""The guard's part of a bundle: what `fit` makes and `Guard.from_parts` loads. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from guards.encoder import Floats

SCHEMA = 2
NameKind = Literal["alias", "title", "related"]


class PartError(ValueError):
    """A guard part that cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class FittedName:
    """A name to match. `number` is the same for names of a policy that are spelled alike."""

    text: str
    entity: int
    kind: NameKind
    number: int


@dataclass(frozen=True, slots=True)
class FittedSecond:
    """A linear model on whole short texts as a second encoder reads them, see `guards.second`.

    Attributes:
        fingerprint: weights and tokeniser of that encoder.
        weights, bias: on unit vectors, `[dim]`; standardised like those of the first model.
        threshold: least score for a verdict; the calibration may ask for more.
    """

    fingerprint: str
    weights: Floats
    bias: float
    threshold: float


@dataclass(frozen=True, slots=True)
class FittedPart:
    """A fitted guard of one policy.

    Attributes:
        granularity: see `GuardSpec`.
        encoder: registry name of the encoder.
        fingerprint: weights and tokeniser the linear model was fitted on.
        names: names, aliases and related names.
        together: pairs of numbers of related names that occur together in harmless texts; such a pair is no verdict. A
            pair of a number with itself: harmless texts hold the name, so that it is no verdict as a title.
        weights: linear model on unit vectors of windows, `[dim]`; standardised: over benign texts the score of the
            worst window has mean 0 and standard deviation 1.
        bias: its constant.
        attributes: for each subject words of what the policy says of it, in the singular, and what each adds to the
            score of a window; see `guards.attributes`.
        boost: what one piece of name evidence adds to the score, >= 0.
        threshold: least score for a verdict of the classifier; the calibration may ask for more.
        figures: what was measured on held-out texts; no names.
        second: the model on a second encoder's vectors, where the policy was compiled with one.
    """

    granularity: Literal["entity", "facts"]
    encoder: str
    fingerprint: str
    names: tuple[FittedName, ...]
    together: tuple[tuple[int, int], ...]
    weights: Floats
    bias: float
    boost: float
    threshold: float
    attributes: tuple[Mapping[str, float], ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    second: FittedSecond | None = None

    def to_bytes(self) -> bytes:
        """Serialise as safetensors with a JSON header."""
        head = {
            "schema": SCHEMA,
            "granularity": self.granularity,
            "encoder": self.encoder,
            "fingerprint": self.fingerprint,
            "names": [asdict(name) for name in self.names],
            "together": self.together,
            "bias": self.bias,
            "boost": self.boost,
            "threshold": self.threshold,
            "attributes": [dict(subject) for subject in self.attributes],
            "figures": dict(self.figures),
        }
        tensors = {"weights": np.ascontiguousarray(self.weights, np.float32)}
        if self.second is not None:
            head["second"] = {name: getattr(self.second, name) for name in _SECOND}
            tensors["second"] = np.ascontiguousarray(self.second.weights, np.float32)
        return save({**tensors, "head": _bytes_array(head)})

    @classmethod
    def from_bytes(cls, data: bytes) -> FittedPart:
        """Read what `to_bytes` wrote. Raises `PartError`."""
        try:
            tensors = load(data)
            head = json.loads(tensors["head"].tobytes())
            if head["schema"] != SCHEMA:
                raise PartError(f"guard part of schema {head['schema']}, this version reads {SCHEMA}; compile it again")
            part = cls(
                granularity=head["granularity"],
                encoder=head["encoder"],
                fingerprint=head["fingerprint"],
                names=tuple(FittedName(**name) for name in head["names"]),
                together=tuple((int(a), int(b)) for a, b in head["together"]),
                weights=tensors["weights"],
                bias=float(head["bias"]),
                boost=float(head["boost"]),
                threshold=float(head["threshold"]),
                attributes=tuple(
                    {str(word): float(weight) for word, weight in subject.items()}
                    for subject in head.get("attributes", ())
                ),
                figures=head["figures"],
                second=_second(tensors, head["second"]) if "second" in head else None,
            )
        except (
            SafetensorError,
            AttributeError,
            KeyError,
            TypeError,
            json.JSONDecodeError,
            UnicodeDecodeError,
        ) as error:
            raise PartError(f"not a guard part ({type(error).__name__}); compile the policy again") from error
        added = [weight for subject in part.attributes for weight in subject.values()]
        numbers = [*part.weights.ravel(), part.bias, part.boost, part.threshold, *added]
        if (second := part.second) is not None:
            numbers += [*second.weights.ravel(), second.bias, second.threshold]
        if part.weights.ndim != 1 or not np.isfinite(numbers).all() or min([part.boost, *added]) < 0:
            raise PartError(
                "guard part with a wrong shape, negative evidence or a value that is not finite; compile again"
            )
        if part.granularity not in ("entity", "facts"):
            raise PartError(f"guard part with unknown granularity {part.granularity!r}; compile again")
        return part


_SECOND = "fingerprint", "bias", "threshold"


def _second(tensors: Mapping[str, Any], head: Mapping[str, Any]) -> FittedSecond:
    return FittedSecond(
        str(head["fingerprint"]), tensors["second"].ravel(), float(head["bias"]), float(head["threshold"])
    )


def _bytes_array(value: object) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)
