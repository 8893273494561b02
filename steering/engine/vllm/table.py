"""The edit table of one worker: programs in slots, and the persistent per-token buffers that the forward pass reads.

Buffers are allocated once, so their addresses survive CUDA graphs; every step writes the rows of flagged requests and
clears the others. Nothing here raises in the step path: an exception there would end the engine for everyone, so a
request that cannot be edited is reported as failed instead, and the scheduler ends it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from steering.activation import Activation
from steering.assistant import Difference
from steering.engine.vllm.assistants import Assistants, Host
from steering.engine.vllm.bank import NO_SITES, Banks, EditSites
from steering.ops import NOISE_ROWS, noise_table, top_k_threshold
from steering.program import AnyProgram, Program, ProgramError, load_program, resolve

MAX_PROGRAMS = 1024
EXTRA_ARG = "lethe"
"""Key in `SamplingParams.extra_args`: [program id, generation, dose, flat token spans]. Set by the front only."""

log = logging.getLogger("lethe")


@dataclass(frozen=True, slots=True)
class StepRow:
    """One flagged request in one step."""

    request: str
    row: int  # of its first token in the flattened batch
    tokens: int  # scheduled in this step
    position: int  # of its first token in the request
    prompt: list[int]  # token ids of the original prompt
    order: Any  # value of EXTRA_ARG, unchecked


@dataclass(slots=True)
class Record:
    """What was done with one request so far."""

    program: str
    version: int
    edited: int
    cached: int
    next: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A program in its slot. `generation` is the table version at which it was loaded."""

    slot: int
    digest: str
    generation: int
    program: AnyProgram


def flagged_orders(new_requests: Iterable[Any]) -> dict[str, Any]:
    """Orders of those new requests (vLLM's `NewRequestData`) that carry one."""
    extra = {new.req_id: (new.sampling_params and new.sampling_params.extra_args) or {} for new in new_requests}
    return {request: args[EXTRA_ARG] for request, args in extra.items() if EXTRA_ARG in args}


class Buffers(nn.Module):
    """Persistent tensors read by the sites; [tokens] each, float32 or int64, plus the tables of the embedding site."""

    def __init__(self, tokens: int, hidden_size: int, device: torch.device) -> None:
        super().__init__()
        for name, dtype in _TOKEN_BUFFERS.items():
            self.register_buffer(name, torch.zeros(tokens, dtype=dtype, device=device), persistent=False)
        self.register_buffer("noise", noise_table(hidden_size).to(device), persistent=False)
        self.register_buffer("substitute", torch.zeros(MAX_PROGRAMS, hidden_size, device=device), persistent=False)
        # the site copies `step` to `echo`: proof, also under graph replay, that it ran in this very step
        self.register_buffer("step", torch.zeros(1, dtype=torch.int64, device=device), persistent=False)
        self.register_buffer("echo", torch.zeros(1, dtype=torch.int64, device=device), persistent=False)


_TOKEN_BUFFERS = {
    "edited": torch.bool,
    "gain": torch.float32,
    "threshold": torch.float32,
    "sigma": torch.float32,
    "weight": torch.float32,
    "dims": torch.int64,
    "noise_row": torch.int64,
    "slot": torch.int64,
    "edit_slot": torch.int64,
    "gate": torch.float32,
}


_SHARED = {"slot": "edit_slot", "gate": "gate", "step": "step"}
"""Name in a bank -> name in the buffers."""


class EditTable:
    """Programs, buffers and records of one worker process."""

    def __init__(
        self,
        tokens: int,
        hidden_size: int,
        device: torch.device,
        embed: Callable[[Tensor], Tensor],
        sites: list[str],
        edits: EditSites = NO_SITES,
        hosts: Sequence[Host] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.boot, self.version = secrets.token_hex(8), 0
        self.hidden_size, self.embed = hidden_size, embed
        self.assistants = Assistants(hosts, tokens, hidden_size, device, embed, dtype)
        self.sites = [*sites, *(f"layer.{layer}" for layer in edits.layers), *self.assistants.sites]
        self.buffers = Buffers(tokens, hidden_size, device)
        shared = {name: self.buffers.get_buffer(kept) for name, kept in _SHARED.items()}
        self.banks = Banks(edits, MAX_PROGRAMS, hidden_size, shared)
        self.programs: dict[str, Loaded] = {}
        self.staged: dict[str, tuple[AnyProgram, str]] = {}
        self.records: dict[str, Record] = {}
        self.active = False
        self._step = 0
        self._status: dict[str, str] = {}

    # Programs, called through `rpc.py`; these may raise, the caller reports.

    def stage(self, name: str, data: bytes, digest: str) -> None:
        """First phase: check a program without touching the table."""
        if name in self.programs:
            raise ProgramError(f"program {name} is loaded already and programs are immutable: raise the version")
        if len(self.programs) >= MAX_PROGRAMS - 1:
            raise ProgramError(f"the edit table is full ({MAX_PROGRAMS - 1} programs): remove one first")
        program = load_program(data)
        if program.model.hidden_size != self.hidden_size:
            raise ProgramError(f"hidden size {program.model.hidden_size}, but the model has {self.hidden_size}")
        if isinstance(program, Difference):
            self.assistants.check(program)
        if isinstance(program, Activation):
            self.banks.check(program)
        self.staged[name] = program, digest

    def commit(self, name: str, digest: str, expected: int) -> Loaded:
        """Second phase: compare-and-set on the table version, so that two gateways cannot interleave."""
        if self.version != expected:
            raise ProgramError(f"table version is {self.version}, expected {expected}: read it again")
        program, have = self.staged.pop(name)
        if have != digest:
            raise ProgramError(f"staged bytes have digest {have}, expected {digest}")
        slot = min(set(range(1, MAX_PROGRAMS)) - {p.slot for p in self.programs.values()})
        if isinstance(program, Activation):
            self.banks.write(slot, program)
        elif isinstance(program, Difference):
            self.assistants.write(slot, program)
            program = Difference(
                program.difference, {}
            )  # the weights are in place: a second copy is memory for nothing
        elif isinstance(program, Program):
            self.buffers.get_buffer("substitute")[slot].copy_(torch.from_numpy(program.substitute))
        self.version += 1
        self.programs[name] = Loaded(slot, digest, self.version, program)
        return self.programs[name]

    def remove(self, name: str, expected: int) -> None:
        """Remove a program that no running request uses."""
        if self.version != expected:
            raise ProgramError(f"table version is {self.version}, expected {expected}: read it again")
        if any(r.program == name for r in self.records.values()):
            raise ProgramError(f"program {name} is used by running requests: try again when they have finished")
        slot = self.programs.pop(name).slot
        self.banks.clear(slot)
        self.assistants.clear(slot)
        self.version += 1

    # The step path.

    def finish(self, requests: Iterable[str]) -> None:
        """Forget requests that have ended."""
        for request in requests:
            self.records.pop(request, None)

    def fill(self, rows: Iterable[StepRow]) -> None:
        """Write the buffers for one step. Never raises."""
        self._status = {}
        self.assistants.begin()
        if self.active:
            self.buffers.get_buffer("edited").zero_()
            self.buffers.get_buffer("edit_slot").zero_()
            self.active = False
        try:
            listed = list(rows)
        except Exception:
            log.exception("the rows of this step cannot be read; all flagged requests will be ended with an error")
            listed, self._status = [], dict.fromkeys(self.records, "error")
        for row in listed:
            try:
                status = self._fill_row(row)
            except Exception:
                log.exception("a flagged request cannot be edited; it will be ended with an error")
                status = "error"
            if status:
                self._status[row.request] = status
        if self.active:
            self._step += 1
            self.buffers.get_buffer("step").fill_(self._step)

    def _fill_row(self, row: StepRow) -> str:
        """Write one request's rows; return its status if this step decides it, else ''."""
        name, generation, dose, spans = row.order
        loaded = self.programs.get(name)
        record = self.records.get(row.request)
        if record is None or row.position != record.next:  # new, or preempted and started over, perhaps further on
            cached = sum(max(0, min(b, row.position) - a) for a, b in zip(spans[::2], spans[1::2], strict=True))
            record = self.records[row.request] = Record(name, self.version, 0, cached, row.position)
        record.next = row.position + row.tokens
        if loaded is None or loaded.generation != generation:
            return "unknown-program"
        end = row.position + row.tokens
        for a, b in zip(spans[::2], spans[1::2], strict=True):
            first, last = max(a, row.position), min(b, end, len(row.prompt))
            if first < last:
                if isinstance(loaded.program, Program):
                    start, ids = row.row + first - row.position, row.prompt[first:last]
                    self._write(loaded.slot, loaded.program, dose, start, first, ids)
                record.edited += last - first
                self.active = True
        if isinstance(loaded.program, Activation):
            self._move(loaded.slot, loaded.program, dose, row, spans)
        elif isinstance(loaded.program, Difference) and spans:
            self.assistants.add(loaded.slot, dose, row.request, row.row, row.row + row.tokens)
            self.active = True
        return "ok" if row.position < len(row.prompt) <= end else ""

    def _move(self, slot: int, program: Activation, dose: float, row: StepRow, spans: list[int]) -> None:
        """Write the slot of an activation program for one request's tokens, generated ones included."""
        for a, b in program.positions(row.position, row.tokens, len(row.prompt), spans):
            start, stop = row.row + a - row.position, row.row + b - row.position
            self.buffers.get_buffer("edit_slot")[start:stop] = slot
            self.buffers.get_buffer("gate")[start:stop] = program.gate(dose)
            self.active = True

    def _write(self, slot: int, program: Program, dose: float, start: int, position: int, ids: list[int]) -> None:
        eco = program.eco
        row, stop = resolve(eco, dose), start + len(ids)
        b = self.buffers.get_buffer
        threshold: float | Tensor = row.threshold
        if row.top_k:
            device = b("threshold").device
            threshold = top_k_threshold(self.embed(torch.tensor(ids, device=device)), row.top_k)
        b("threshold")[start:stop] = threshold
        for name, value in (("gain", row.gain), ("sigma", row.sigma), ("weight", row.weight)):
            b(name)[start:stop] = value
        b("dims")[start:stop] = row.dims
        b("slot")[start:stop] = slot
        positions = torch.arange(position, position + len(ids)) + eco.seed
        b("noise_row")[start:stop] = (positions % NOISE_ROWS).to(b("noise_row").device)
        b("edited")[start:stop] = True

    def take(self) -> dict[str, list[Any]]:
        """Attest what this step decided: request -> [boot, version, program, edited, cached, status].

        Reads one number per site back from the device, and only in a step in which a flagged request finished its
        prefill, or failed.
        """
        self._status |= self.assistants.failed()
        if not self._status:
            return {}
        echoed = int(self.buffers.get_buffer("echo").item()) == self._step and self.banks.ran(self._step)
        ran = not self.active or echoed
        out = {}
        for request, status in self._status.items():
            r = self.records.get(request)
            if r is None:
                out[request] = [self.boot, self.version, "", 0, 0, "error"]
            else:
                out[request] = [self.boot, r.version, r.program, r.edited, r.cached, status if ran else "hook-not-run"]
        self._status = {}
        return out
