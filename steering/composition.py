"""Two activation programs as one, for a request that touches both policies.

Columns stand beside each other: all read the same stream and add to it. Only projections after the same layer must be
made one: taking two subspaces away one by one takes what they share twice, so their columns become an orthonormal basis
of the union. Members come in the order of their names, so whoever composes them, and whenever, gets the same program.

A gate that a program's columns open belongs to the row, and would gate the other program as well: such programs do not
compose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steering.activation import PHI, TENSORS, Activation, ActivationError, EditProgram, check, parameters

CONSTANT = PHI.index("constant")
SHARED = 3e-6
"""Part of a unit vector outside of a subspace, up to which it counts as inside; float32 leaves some 1e-7."""

Wide = NDArray[np.float64]


def compose(programs: Mapping[str, Activation]) -> Activation:
    """One program that does what all of these do, by name.

    Raises `ActivationError` for programs of different models, with gates, or that need too much of an edit table.
    """
    members = [program for _, program in sorted(programs.items())]
    first = members[0]
    if any(first.model.mismatch(program.model) for program in members[1:]):
        raise ActivationError("programs of different models do not compose")
    if any(program.phi[PHI.index("gates")].any() for program in members):
        raise ActivationError("a program with a condition gates whole rows and does not compose with another one")
    layers = sorted({layer for program in members for layer in program.edit.sites})
    found = [(layer, part) for layer in layers for part in _parts(members, layer)]
    edit = EditProgram(
        method="set",
        layers=tuple(layer for layer, part in found for _ in range(part["probes"].shape[1])),
        strength=max(program.edit.strength for program in members),
        most=min(program.edit.most for program in members),
        model=first.model,
    )
    axis = {"probes": 1, "phi": 1, "directions": 0}
    tensors = {
        name: np.ascontiguousarray(np.concatenate([part[name] for _, part in found], axis=axis[name]), np.float32)
        for name in TENSORS
    }
    return check(edit, tensors)


def _parts(members: list[Activation], layer: int) -> list[dict[str, NDArray[Any]]]:
    """Tables of the columns after one layer: the projections of all members first, as one."""
    parts: list[dict[str, NDArray[Any]]] = []
    removed = [program for program in members if program.edit.method == "projection" and program.columns(layer)]
    if removed:
        basis = union([program.probes[:, program.columns(layer)].astype(np.float64) for program in removed])
        # of different shares the largest: neither policy is to keep more than it would alone
        slope = min(float(program.phi[PHI.index("slope")].min()) for program in removed)
        phi = parameters(basis.shape[1], slope=slope)
        phi[CONSTANT] = basis.T @ sum(_shift(program, layer) for program in removed)
        parts.append({"probes": basis, "phi": phi, "directions": basis.T})
    for program in members:
        columns = program.columns(layer)
        if columns and program.edit.method != "projection":
            parts.append(
                {
                    "probes": program.probes[:, columns],
                    "phi": program.phi[:, columns],
                    "directions": program.directions[columns],
                }
            )
    return parts


def _shift(program: Activation, layer: int) -> Wide:
    """What the columns of a projection add whatever they read, [hidden]: where a trained one moves to."""
    own = program.columns(layer)
    return program.phi[CONSTANT, own].astype(np.float64) @ program.directions[own]


def union(bases: list[Wide]) -> Wide:
    """Orthonormal basis [hidden, k] of the sum of subspaces, each given by orthonormal columns, in their order."""
    found = np.linalg.qr(bases[0])[0]
    for basis in bases[1:]:
        outside = basis - found @ (found.T @ basis)
        left, sizes, _ = np.linalg.svd(outside, full_matrices=False)
        new = left[:, sizes > SHARED]
        found = np.concatenate([found, np.linalg.qr(new - found @ (found.T @ new))[0]], axis=1)
    return found
