"""Columns of activation programs in one worker: a bank of persistent tensors per edit site, and who holds which column.

Which layers are sites, and how many columns each has, is fixed when the engine starts, because every token pays for
them: `lethe engine --edit-layers 8,12` writes it into vLLM's additional configuration, which is part of the compile
hash. Without it there are no sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steering.activation import MAX_COLUMNS, MAX_LAYERS, PHI, Activation
from steering.program import ProgramError


@dataclass(frozen=True, slots=True)
class EditSites:
    """Where activation programs may act, as the engine was started."""

    layers: tuple[int, ...] = ()
    columns: int = MAX_COLUMNS


NO_SITES = EditSites()


def configured(additional: Any) -> EditSites:
    """Read vLLM's additional configuration. Raises ValueError for one that is malformed."""
    lethe = additional.get("lethe") if isinstance(additional, dict) else None
    given = lethe.get("edit") if isinstance(lethe, dict) else None
    if not given:
        return NO_SITES
    sites = EditSites(tuple(sorted(set(map(int, given["layers"])))), int(given.get("columns", MAX_COLUMNS)))
    if len(sites.layers) > MAX_LAYERS or min(sites.layers, default=0) < 0 or not 0 <= sites.columns <= 4 * MAX_COLUMNS:
        raise ValueError(f"edit sites: up to {MAX_LAYERS} layers, up to {4 * MAX_COLUMNS} columns; got {given}")
    return sites if sites.columns else NO_SITES


class Bank(nn.Module):
    """Columns after one layer, read by its site: the table arguments of `steering.ops.edit`, float32.

    `slot` and `gate` are the token buffers of all banks; `echo` receives `step` when the site runs.
    """

    def __init__(self, slots: int, columns: int, hidden_size: int, shared: dict[str, Tensor]) -> None:
        super().__init__()
        device = shared["slot"].device
        shapes = {
            "probes": (hidden_size, columns),
            "phi": (len(PHI), columns),
            "members": (slots, columns),
            "directions": (columns, hidden_size),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, device=device), persistent=False)
        for name, tensor in shared.items():
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("echo", torch.zeros(1, dtype=torch.int64, device=device), persistent=False)
        self.free = list(range(columns))

    def write(self, slot: int, program: Activation, picked: list[int]) -> list[int]:
        """Put columns of a program into free places; return the places."""
        places, self.free = self.free[: len(picked)], self.free[len(picked) :]
        b = self.get_buffer
        b("probes")[:, places] = _tensor(program.probes[:, picked], b("probes"))
        b("phi")[:, places] = _tensor(program.phi[:, picked], b("phi"))
        b("directions")[places] = _tensor(program.directions[picked], b("directions"))
        b("members")[slot, places] = 1.0
        return places

    def clear(self, slot: int, places: list[int]) -> None:
        """Give places back."""
        b = self.get_buffer
        b("members")[slot] = 0.0
        b("probes")[:, places] = 0.0
        b("phi")[:, places] = 0.0
        b("directions")[places] = 0.0
        self.free = sorted([*self.free, *places])


def _tensor(values: Any, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)


class Banks:
    """All banks of a worker, by layer."""

    def __init__(self, sites: EditSites, slots: int, hidden_size: int, shared: dict[str, Tensor]) -> None:
        self.by_layer = {layer: Bank(slots, sites.columns, hidden_size, shared) for layer in sites.layers}
        self._places: dict[int, dict[int, list[int]]] = {}

    def check(self, program: Activation) -> None:
        """Raise `ProgramError` for a program that has no place here."""
        missing = sorted(set(program.edit.sites) - self.by_layer.keys())
        if missing:
            have = ", ".join(map(str, self.by_layer)) or "none"
            raise ProgramError(
                f"the program edits after layer {', '.join(map(str, missing))}, but this engine has edit sites after "
                f"layer {have}: start it with `lethe engine --edit-layers {','.join(map(str, program.edit.sites))}`"
            )
        for layer in program.edit.sites:
            wanted, free = len(program.columns(layer)), len(self.by_layer[layer].free)
            if wanted > free:
                raise ProgramError(
                    f"the edit table is full: the program needs {wanted} columns after layer {layer} and {free} are "
                    f"free; remove a program first"
                )

    def write(self, slot: int, program: Activation) -> None:
        """Put a program into the banks. Raises `ProgramError` before anything is written."""
        self.check(program)
        self._places[slot] = {
            layer: self.by_layer[layer].write(slot, program, program.columns(layer)) for layer in program.edit.sites
        }

    def clear(self, slot: int) -> None:
        """Take a program out, if there is one in this slot."""
        for layer, places in self._places.pop(slot, {}).items():
            self.by_layer[layer].clear(slot, places)

    def ran(self, step: int) -> bool:
        """Whether every site ran in this step. Reads one number per site back from the device."""
        return all(int(bank.get_buffer("echo").item()) == step for bank in self.by_layer.values())
