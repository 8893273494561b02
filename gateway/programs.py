"""Keeps the engine's programs in step with the policies, and knows which policies can be carried out now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import orjson
from pydantic import ValidationError

from gateway.errors import LetheError, NotProtectedError
from gateway.metrics import Metrics
from gateway.pairs import Pair, pairs
from gateway.store import LoadedPolicy
from gateway.upstream import Reply, Upstream, json_object
from steering.fence import ATTESTATION_HEADER, read_attestation
from steering.plan import Plan
from steering.spec import ModelFingerprint

log = logging.getLogger("lethe.programs")

POLL_SECONDS = 2.0
PATIENCE = 30.0
"""Seconds for one control request; a canary generates a few tokens in a busy engine."""

NOT_YET = "the engine has not been asked yet"
UNAVAILABLE = "The model is not available at present."


class Programs:
    """State of the programs in the engine. `run` keeps it up to date; everything else only looks at it."""

    def __init__(self, upstream: Upstream, policies: Sequence[LoadedPolicy], metrics: Metrics) -> None:
        self._upstream, self._metrics = upstream, metrics
        self._policies = [policy for policy in policies if policy.intervenes]
        self._problems: dict[str, str | None] = {policy.number: NOT_YET for policy in self._policies}
        self._pairs = pairs(self._policies)
        self._pair_problems: dict[str, str | None] = {pair.name: NOT_YET for pair in self._pairs}
        self._pair_tried: dict[str, tuple[Any, Any]] = {}  # state of the engine at which each was tried last
        self._boot: str | None = None
        self._wake = asyncio.Event()

    @property
    def needed(self) -> bool:
        """Whether any policy intervenes in the engine at all."""
        return bool(self._policies)

    @property
    def boot(self) -> str | None:
        """Name of the engine's present run, as far as it is known; another one after every restart."""
        return self._boot

    @property
    def together(self) -> Mapping[frozenset[str], str]:
        """Numbers of two policies -> the program that makes the edits of both, where the engine has confirmed it."""
        return {pair.numbers: pair.name for pair in self._pairs if self._pair_problems[pair.name] is None}

    def problems(self, today: date) -> dict[str, str]:
        """Policy number -> why it cannot be carried out. Empty when everything is confirmed."""
        return {p.number: text for p in self._in_force(today) if (text := self._problems[p.number]) is not None}

    def require(self, model: str, today: date) -> None:
        """Raise `NotProtectedError` unless every policy that covers the model is confirmed.

        It concerns all requests to the model, so that an outage tells nobody which of them would have been flagged.
        """
        for policy in self._in_force(today):
            models = policy.active.rules.scope.models
            if self._problems[policy.number] is not None and ("*" in models or model in models):
                raise NotProtectedError(UNAVAILABLE)

    def check(self, plan: Plan, reply: Reply) -> None:
        """Raise `NotProtectedError` unless a 200 to a flagged request proves that its intervention was carried out."""
        value, key = reply.headers.get(ATTESTATION_HEADER), self._upstream.key
        claims = read_attestation(key, value) if value is not None and key is not None else None
        problem = None
        if claims is None:
            problem = "without a genuine attestation" if value else "without an attestation"
        elif claims.get("nonce") != reply.nonce:
            problem = "with the attestation of another request"
        elif claims.get("program") != plan.program:
            problem = "under another program"
        elif claims.get("boot") != self._boot:
            problem = "after a restart"
        if problem is not None:
            self.distrust(f"the engine answered a flagged request {problem}")
            raise NotProtectedError(UNAVAILABLE)

    def distrust(self, why: str) -> None:
        """Count a failed intervention and look at the engine again at once."""
        self._metrics.attestation_failures.inc()
        log.error("%s; nothing was sent to the client", why)
        self._boot = None
        self.look()

    def look(self) -> None:
        """Look at the engine again at once."""
        self._wake.set()

    async def run(self) -> None:
        """Synchronise now, every two seconds, and at once after `distrust`; until cancelled."""
        while self._policies:
            self._wake.clear()
            await self.sync()
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def sync(self) -> None:
        """Bring the engine up to date if it is not; never raises `LetheError`, which becomes the problem of all."""
        try:
            table = await self._table()
            boot = str(table["boot"])
            if boot != self._boot:
                for policy in self._policies:
                    if self._problems[policy.number] is None:
                        self._note(policy, "the engine was restarted; its programs are being loaded")
                self._pair_problems = {pair.name: NOT_YET for pair in self._pairs}
                self._boot = boot
            for policy in self._policies:
                self._note(policy, await self._confirm(policy, table))
            for pair in self._pairs:
                await self._join(pair, table)
        except (LetheError, _EngineProblemError) as error:
            for policy in self._policies:
                self._note(policy, str(error))
            self._pair_problems = {pair.name: NOT_YET for pair in self._pairs}
            self._pair_tried.clear()
        self._metrics.policies_expected.set(len(self._policies))
        self._metrics.policies_ready.set(sum(problem is None for problem in self._problems.values()))

    def _in_force(self, today: date) -> list[LoadedPolicy]:
        return [p for p in self._policies if p.active.rules.expires is None or today < p.active.rules.expires]

    async def _table(self) -> dict[str, Any]:
        status, data = await self._upstream.call("GET", "/lethe/v1/programs", patience=PATIENCE)
        if status == 404:
            raise _EngineProblemError("the engine has no lethe plug-in: start it with `lethe engine`")
        if status in (401, 403):
            raise _EngineProblemError("the engine does not accept LETHE_ENGINE_KEY: both sides need the same one")
        table = json_object(data)
        if status != 200 or not table.get("ready") or not isinstance(table.get("boot"), str):
            raise _EngineProblemError(f"the engine is not ready (status {status})")
        if not isinstance(table.get("programs"), dict):
            raise _EngineProblemError("the engine speaks another version of lethe: install the same on both sides")
        return table

    async def _join(self, pair: Pair, table: dict[str, Any]) -> None:
        """Load the program of two policies, once both are confirmed. Without it only their common requests suffer.

        One that the engine did not take is tried again when something has changed there.
        """
        before, present = self._pair_problems[pair.name], (table["boot"], table.get("table"))
        if any(self._problems[policy.number] is not None for policy in pair.policies):
            problem: str | None = NOT_YET
        elif before is not None and self._pair_tried.get(pair.name) == present:
            return
        else:
            try:
                problem = await self._load(pair.name, pair.program, pair.digest, table, before)
            except LetheError as error:
                problem = str(error)
            self._pair_tried[pair.name] = present
        if problem is not None and problem != before:
            log.warning("requests that touch both policies of %s are refused: %s", pair.name, problem)
        self._pair_problems[pair.name] = problem

    async def _confirm(self, policy: LoadedPolicy, table: dict[str, Any]) -> str | None:
        """Load the program of a policy if it is for the served model; return the problem or None."""
        try:
            served = ModelFingerprint.model_validate(table.get("model"))
        except ValidationError:
            return "the engine does not say which model it serves"
        if (difference := policy.manifest.model.mismatch(served)) is not None:
            return f"the bundle is for another model ({difference}): {policy.manifest.model.remedy(served)}"
        before = self._problems[policy.number]
        return await self._load(policy.active.program, policy.program, policy.digest, table, before)

    async def _load(
        self, name: str, program: bytes, digest: str, table: dict[str, Any], before: str | None
    ) -> str | None:
        """Load a program and try its canary where that is still to be done; return the problem or None.

        `before` is what its problem was the last time.
        """
        loaded = table["programs"].get(name)
        present = isinstance(loaded, dict) and loaded.get("digest") == digest
        if present and before is None:
            return None
        path = f"/lethe/v1/programs/{name}"
        if not present:
            status, data = await self._upstream.call("PUT", path, program, PATIENCE)
            if status == 409:
                return "the engine holds another program of this version: compile with a higher version"
            if status not in (200, 201):
                return f"the engine refused the program (status {status}): {_reason(data)}"
        order = orjson.dumps({"program": name})
        status, data = await self._upstream.call("POST", "/lethe/v1/canary", order, PATIENCE)
        if status != 200 or json_object(data).get("ok") is not True:
            return f"the canary failed (status {status}): {_reason(data)}"
        return None

    def _note(self, policy: LoadedPolicy, problem: str | None) -> None:
        """Remember a state, and log it once per change."""
        if self._problems[policy.number] == problem:
            return
        self._problems[policy.number] = problem
        if problem is None:
            log.info("policy %s is confirmed by the engine", policy.number)
        else:
            log.warning("policy %s is not in force, its models answer 503: %s", policy.number, problem)


class _EngineProblemError(Exception):
    """Why no program can be confirmed."""


def _reason(data: bytes) -> str:
    error = json_object(data).get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return message[:500] if isinstance(message, str) else "no reason given"
