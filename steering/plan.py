"""Decision -> the request that goes upstream. Torch-free; the gateway imports it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steering.spec import Mask

LETHE_ROUTES = {
    "/v1/chat/completions": "/lethe/v1/chat/completions",
    "/v1/completions": "/lethe/v1/completions",
}
"""Flagged requests go to routes that a bare engine does not have: a missing plug-in is a 404, never an answer."""

PROGRAM_NAME = r"^p[0-9]{6,12}@[0-9]{1,9}(\+p[0-9]{6,12}@[0-9]{1,9})?$"
"""Name of a program in the engine: that of a policy, or of two policies at once."""

MAX_WINDOWS = 4096
"""Windows of one flagged request, over all strings."""

Windows = Mapping[str, Sequence[tuple[int, int]]]
"""JSON pointer of a string in the body -> sorted, disjoint character ranges `[start, end)` in it."""


@dataclass(frozen=True, slots=True)
class Intervention:
    """What the engine is asked to do with one flagged request."""

    program: str  # "p<number>@<version>", of two policies at once both, with a plus sign between them
    dose: float  # multiple of the strength in the program, (0, 16]
    mask: Mask
    windows: Windows


@dataclass(frozen=True, slots=True)
class Plan:
    """One upstream request."""

    path: str
    body: dict[str, Any]
    program: str | None  # the attestation must name it; None for an unflagged request


def program_id(number: str, version: int) -> str:
    """Name of a policy's program in the engine; carries nothing that the policy must keep secret."""
    return f"p{number}@{version}"


def joined(*programs: str) -> str:
    """Name of the program that does what these do, whatever order they are given in; see `steering.composition`."""
    return "+".join(sorted(programs))


def cache_salt(secret: bytes, tenant: str, client_salt: str, state: str) -> str:
    """Salt of the prefix cache: HMAC over tenant, the client's own salt and the policy state of the request.

    Requests of two tenants, or treated differently, can then never share a KV block.
    """
    message = b"\0".join(part.encode().hex().encode() for part in (tenant, client_salt, state))
    return hmac.new(secret, b"lethe cache salt\0" + message, hashlib.sha256).hexdigest()


def plan(path: str, body: Mapping[str, Any], intervention: Intervention | None, salt: str) -> Plan:
    """Turn a sanitised body into the upstream request. `path` is a key of `LETHE_ROUTES`."""
    if intervention is None:
        return Plan(path, {**body, "cache_salt": salt}, None)
    order = {
        "program": intervention.program,
        "dose": intervention.dose,
        "mask": intervention.mask,
        "windows": {pointer: [list(w) for w in ranges] for pointer, ranges in intervention.windows.items()},
    }
    return Plan(LETHE_ROUTES[path], {**body, "cache_salt": salt, "lethe": order}, intervention.program)
