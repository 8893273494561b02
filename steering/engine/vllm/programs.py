"""The program registry of one API process. The workers are the authority: this is a copy, refreshed when in doubt."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from steering.engine.vllm.ticket import Refusal
from steering.plan import PROGRAM_NAME
from steering.program import ProgramError, load_program
from steering.spec import ModelFingerprint

NAME = re.compile(PROGRAM_NAME)
MISSING = (
    "the engine's workers did not confirm their edit sites: the lethe plug-in is not loaded there. Install lethe-llm "
    "into the engine's environment and, if VLLM_PLUGINS is set, add `lethe` to it"
)


class Programs:
    """Two-phase loading on every rank, and what is known about the result."""

    def __init__(self, client: Any, model: ModelFingerprint) -> None:
        self.client, self.model = client, model
        self.boot, self.table = "", -1
        self.loaded: dict[str, dict[str, Any]] = {}

    async def refresh(self) -> None:
        """Ask all ranks for their table; they must agree. Raises `Refusal`."""
        try:
            ranks = await self.client.collective_rpc("lethe_hello", timeout=30)
        except Exception as error:  # whatever the engine answers, it did not confirm
            raise Refusal(503, MISSING, "lethe_not_ready") from error
        if not ranks or not all(r.get("ok") and r["sites"] for r in ranks):
            raise Refusal(503, MISSING, "lethe_not_ready")
        first = ranks[0]
        if any((r["programs"], r["table"]) != (first["programs"], first["table"]) for r in ranks):
            raise Refusal(503, "the ranks of the engine hold different programs: restart the engine", "lethe_not_ready")
        self.boot, self.table, self.loaded = first["boot"], first["table"], first["programs"]

    async def generation(self, name: str) -> int:
        """Generation of a loaded program; asks the workers once when it is unknown here. Raises `Refusal`."""
        if name not in self.loaded:
            await self.refresh()
        if name not in self.loaded:
            raise Refusal(404, f"program {name} is not loaded: PUT /lethe/v1/programs/{name}", "lethe_unknown_program")
        return int(self.loaded[name]["generation"])

    async def put(self, name: str, data: bytes) -> tuple[int, dict[str, Any]]:
        """Load a program on every rank. Returns status and body; raises `Refusal`."""
        if not NAME.match(name):
            raise Refusal(
                400, "a program is named p<number>@<version>, or by two such names with a plus sign between them"
            )
        await self.refresh()
        digest = hashlib.sha256(data).hexdigest()
        if name in self.loaded:
            if self.loaded[name]["digest"] == digest:
                return 200, self.state()
            raise Refusal(
                409, f"program {name} is loaded with other bytes and programs are immutable: raise the version"
            )
        try:
            program = load_program(data)
        except ProgramError as error:
            raise Refusal(400, str(error), "lethe_bad_program") from error
        different = program.model.mismatch(self.model)
        if different:
            raise Refusal(400, f"program {name} was compiled for another model ({different}): "
                          f"{program.model.remedy(self.model)}", "lethe_wrong_fingerprint")  # fmt: skip
        staged = await self._all("lethe_stage", name, data, digest)
        if not all(r["ok"] for r in staged):
            await self._all("lethe_abort", name)
            raise Refusal(400, _errors(staged), "lethe_bad_program")
        committed = await self._all("lethe_commit", name, digest, self.table)
        if not all(r["ok"] for r in committed):
            await self._all("lethe_abort", name)
            raise Refusal(409, _errors(committed), "lethe_conflict")
        await self.refresh()
        return 201, self.state()

    async def delete(self, name: str) -> tuple[int, dict[str, Any]]:
        """Remove a program from every rank, unless a running request uses it."""
        await self.generation(name)
        removed = await self._all("lethe_remove", name, self.table)
        await self.refresh()
        if not all(r["ok"] for r in removed):
            raise Refusal(409, _errors(removed), "lethe_conflict")
        return 200, self.state()

    def state(self) -> dict[str, Any]:
        """Body of `GET /lethe/v1/programs`."""
        return {
            "ready": True,
            "boot": self.boot,
            "table": self.table,
            "model": self.model.model_dump(),
            "programs": self.loaded,
        }

    async def _all(self, method: str, *args: Any) -> list[dict[str, Any]]:
        return list(await self.client.collective_rpc(method, timeout=60, args=args))


def _errors(replies: list[dict[str, Any]]) -> str:
    return "; ".join(f"rank {i}: {r['error']}" for i, r in enumerate(replies) if not r["ok"])
