"""An activation program in another precision of its model: its own directions, at doses and gates of that precision.

A kept direction takes the place of the contrast that it came from, so that every method builds its program as it did
the first time: a move of a dose in norms of this model, a gate that is 1 at the mean of known names and whose dead zone
is set on running text, a condition whose threshold has the best F1. A projection keeps its first columns, which are the
first principal directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from steering.activation import PHI, Activation
from steering.engine.local.model import LocalModel
from steering.methods import cast, nullspace, projection, redirect
from steering.methods.contrast import Contrast
from steering.methods.harmless import Tokens
from steering.spec import CastSpec, NullspaceSpec, ProjectionSpec, RedirectSpec

Spec = RedirectSpec | ProjectionSpec | NullspaceSpec | CastSpec
DOSES = {"redirect": redirect.DOSES, "nullspace": nullspace.DOSES, "cast": cast.DOSES}
GATES, SLOPE = PHI.index("gates"), PHI.index("slope")


@dataclass(frozen=True, slots=True)
class Kept:
    """A program that is to run in `model`, and what harmless texts look like there after its first layer."""

    model: LocalModel
    program: Activation
    spec: Spec
    tokens: Tokens | None

    @property
    def moving(self) -> list[int]:
        """The layer of every column that moves the stream."""
        gates = self.program.phi[GATES]
        return [layer for layer, opens in zip(self.program.edit.layers, gates, strict=True) if not opens]

    def strengths(self) -> Sequence[float]:
        """What is searched: doses, of a projection ranks; one where the policy states it."""
        if isinstance(self.spec, ProjectionSpec):
            have = len(self.program.edit.layers)
            return sorted({min(rank, have) for rank in ((have,) if self.spec.rank else (*projection.RANKS, have))})
        return DOSES[self.spec.name] if self.spec.strength is None else (self.spec.strength,)

    def build(self, contrast: Contrast, strength: float) -> Activation:
        """The program at a strength. Raises ValueError where its probe says nothing in this model."""
        if isinstance(self.spec, ProjectionSpec):
            return self._narrower(contrast, int(strength))
        stand_in = self._stand_in(contrast)
        if isinstance(self.spec, RedirectSpec):
            return redirect.build(self.model, stand_in, self.moving[0], strength)
        if isinstance(self.spec, NullspaceSpec):
            gate = self.gate(contrast, self.spec, self.tokens) if self.tokens is not None else None
            return nullspace.build(self.model, stand_in, self.moving[0], strength, gate)
        if self.tokens is None:
            raise ValueError("a condition is calibrated on harmless texts, of which there are none")
        condition = self.condition(contrast, self.spec, self.tokens)
        return cast.build(self.model, stand_in, condition, self.moving, strength)

    def _stand_in(self, contrast: Contrast) -> Contrast:
        """The contrast with the program's directions as its differences."""
        differences = torch.zeros_like(contrast.known[:, :1])
        for at, direction in self._moves(contrast):
            differences[at, 0] = direction
        return replace(contrast, known=torch.zeros_like(differences), unknown=differences)

    def _moves(self, contrast: Contrast) -> list[tuple[int, Tensor]]:
        """(Place in the contrast's layers, direction [hidden]) of every column that moves."""
        columns = np.flatnonzero(self.program.phi[GATES] == 0)
        where = [contrast.layers.index(self.program.edit.layers[column]) for column in columns]
        directions = torch.from_numpy(self.program.directions[columns]).to(contrast.known)
        return list(zip(where, directions, strict=True))

    def _narrower(self, contrast: Contrast, rank: int) -> Activation:
        old = self.program
        probes, phi = (np.ascontiguousarray(table[:, :rank]) for table in (old.probes, old.phi))
        kept = Activation(old.edit, probes, phi, old.directions[:rank])
        new = {"layers": old.edit.layers[:rank], "model": self.model.fingerprint}
        strength = replace(self, program=kept).dose(contrast)
        return replace(kept, edit=old.edit.model_copy(update={**new, "strength": strength}))

    def dose(self, contrast: Contrast) -> float:
        """Strength of the program in norms of this model, as `EditProgram` defines it; the median of several layers."""
        if isinstance(self.spec, ProjectionSpec):
            inside = contrast.known[0] @ torch.from_numpy(self.program.probes).to(contrast.known)
            share = -float(self.program.phi[SLOPE, 0])
            return share * float(inside.norm(dim=1).median() / contrast.norms[0])
        lengths = [direction.norm() / contrast.norms[at] for at, direction in self._moves(contrast)]
        return float(torch.stack(lengths).median())

    def gate(self, contrast: Contrast, spec: NullspaceSpec, tokens: Tokens) -> nullspace.Gate:
        """The gate of the program's probe in this model."""
        u, harmless = self._probe(tokens), tokens.fit.double()
        centre = harmless.mean(dim=0) if spec.null is None else torch.zeros_like(u)
        mean = float((contrast.names[0].double() - centre).mean(dim=0) @ u)
        if mean <= 0:
            raise ValueError("the probe of the gate does not point to the names in this model: compile the policy")
        return nullspace.placed(u / mean, centre, tokens)

    def condition(self, contrast: Contrast, spec: CastSpec, tokens: Tokens) -> cast.Condition:
        """The condition of the program's direction in this model."""
        c = self._probe(tokens)
        layer = self.program.edit.sites[0]
        return cast.placed(layer, c / c.norm(), contrast.known[0], tokens, both=spec.sides == "both")

    def _probe(self, tokens: Tokens) -> Tensor:
        return torch.from_numpy(self.program.probes[:, 0]).to(tokens.fit.device).double()

    def opening(self, contrast: Contrast) -> Mapping[str, float]:
        """Figures of what opens the edit, as of `Fitted.condition`; none where nothing does."""
        if self.tokens is None:
            return {}
        if isinstance(self.spec, CastSpec):
            return cast.measured(self.condition(contrast, self.spec, self.tokens), contrast.known[0], self.tokens)
        if isinstance(self.spec, NullspaceSpec):
            return nullspace.measured(self.gate(contrast, self.spec, self.tokens), contrast.names[0], self.tokens)
        return {}
