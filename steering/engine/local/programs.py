"""The programs that an engine process holds: immutable, checked against the model, named by what they are."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from steering.activation import Activation
from steering.program import AnyProgram, ProgramError, load_program
from steering.spec import ModelFingerprint


class UnknownProgramError(ProgramError):
    """A program that is not loaded, e.g. because the engine was restarted."""


class ProgramConflictError(ProgramError):
    """A program id that is taken by other bytes."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A program in the table. `generation` is the table version at which it was loaded."""

    program: AnyProgram
    digest: str
    generation: int


class Programs:
    """Program table of one engine process. `boot` tells two processes apart, `version` two states of the table.

    `layers`: decoder layers of the model; an edit after a layer that does not exist is refused. `host` is called with a
    new program before it is accepted and raises `ProgramError` for one that the model cannot run.
    """

    def __init__(
        self, model: ModelFingerprint, layers: int, host: Callable[[AnyProgram], None] = lambda _: None
    ) -> None:
        self.host = host
        self.model, self.layers, self.boot, self.version = model, layers, secrets.token_hex(8), 0
        self._loaded: dict[str, Loaded] = {}

    def get(self, name: str) -> Loaded:
        """Return a loaded program. Raises `UnknownProgramError`."""
        try:
            return self._loaded[name]
        except KeyError:
            raise UnknownProgramError(f"program {name} is not loaded: send it again") from None

    def put(self, name: str, data: bytes) -> tuple[Loaded, bool]:
        """Load a program; return it and whether it is new. The same bytes may be sent any number of times.

        Raises `ProgramConflictError` for other bytes under a known id, and `ProgramError` for a program that is
        malformed, not finite or fitted for another model.
        """
        digest = hashlib.sha256(data).hexdigest()
        if (known := self._loaded.get(name)) is not None:
            if known.digest == digest:
                return known, False
            raise ProgramConflictError(f"program {name} is loaded with other bytes: raise the version of the policy")
        program = load_program(data)
        if difference := self.model.mismatch(program.model):
            raise ProgramError(f"compiled for another model, {difference}; {program.model.remedy(self.model)}")
        if isinstance(program, Activation) and program.edit.sites[-1] >= self.layers:
            raise ProgramError(f"edits after layer {program.edit.sites[-1]} of a model with {self.layers} layers")
        self.host(program)
        self.version += 1
        loaded = Loaded(program, digest, self.version)
        self._loaded[name] = loaded
        return loaded, True

    def remove(self, name: str) -> None:
        """Remove a program. Raises `UnknownProgramError`."""
        self.get(name)
        del self._loaded[name]
        self.version += 1

    def listing(self) -> dict[str, object]:
        """What `GET /lethe/v1/programs` answers."""
        programs = {name: {"digest": p.digest, "generation": p.generation} for name, p in self._loaded.items()}
        model = self.model.model_dump()
        return {"boot": self.boot, "table": self.version, "ready": True, "model": model, "programs": programs}
