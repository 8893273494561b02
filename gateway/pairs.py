"""Programs for requests that touch two policies at once, both of which edit activations."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from gateway.policy import Scope
from gateway.store import LoadedPolicy
from steering.activation import Activation, ActivationError
from steering.composition import compose
from steering.plan import joined
from steering.program import ProgramError, load_program

log = logging.getLogger("lethe.pairs")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two policies and the program that makes the edits of both."""

    policies: tuple[LoadedPolicy, LoadedPolicy]
    name: str
    program: bytes

    @property
    def numbers(self) -> frozenset[str]:
        """Numbers of both policies."""
        return frozenset(policy.number for policy in self.policies)

    @property
    def digest(self) -> str:
        """SHA-256 of the program, as the engine reports it."""
        return hashlib.sha256(self.program).hexdigest()


def pairs(policies: Sequence[LoadedPolicy]) -> tuple[Pair, ...]:
    """Pairs of policies that one request can touch and whose programs compose, in the order of their numbers.

    Why two of them do not is logged; a request that touches both is refused.
    """
    edits = []
    for policy in sorted(policies, key=lambda p: p.number):
        if policy.intervenes and not policy.active.corrupts:
            try:
                program = load_program(policy.program)
            except ProgramError as error:  # the engine will refuse it too, and the policy is not in force
                log.warning("the program of policy %s cannot be read: %s", policy.number, error)
                continue
            if isinstance(program, Activation):
                edits.append((policy, program))
    found = []
    for (one, first), (other, second) in combinations(edits, 2):
        if not _meet(one.active.rules.scope, other.active.rules.scope):
            continue
        names = one.active.program, other.active.program
        try:
            both = compose(dict(zip(names, (first, second), strict=True)))
        except ActivationError as error:
            log.warning("requests that touch policies %s and %s are refused: %s", one.number, other.number, error)
            continue
        found.append(Pair((one, other), joined(*names), both.to_bytes()))
    return tuple(found)


def _meet(one: Scope, other: Scope) -> bool:
    """Whether a request can be in both scopes."""
    both = ((one.models, other.models), (one.tenants, other.tenants))
    return all("*" in a or "*" in b or set(a) & set(b) for a, b in both)
