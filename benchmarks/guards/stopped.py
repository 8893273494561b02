"""What an operator lists for the output guard, and which answers to the requests of the suite it then stops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.guards.answered import listing
from benchmarks.guards.fitted import KEY
from benchmarks.guards.policies import GIVEN, Policy
from benchmarks.guards.scanning import Scanned
from benchmarks.tofu.data import parted, tofu_sets
from guards.blindindex import BlindIndex
from guards.guard import Shared
from guards.indexing import build
from guards.output import OutputGuard

ARMS = ("names", "given rows", "all rows")
"""Listed are names only, or attributes besides: those of the rows that the input guard was fitted on, or of all."""


def indices(
    policies: Sequence[Policy], data: Path, arm: str, shared: Shared, done: Callable[[], object]
) -> dict[str, BlindIndex]:
    """The index of every policy, with what an operator lists in this arm."""
    every = tofu_sets(data / "tofu")["forget"]
    given, _ = parted(every, GIVEN)
    rows = {"names": [], "given rows": given, "all rows": every}[arm]
    found = {}
    for policy in policies:
        own = [q for q in rows if f"{q.author:06d}" == policy.number]
        chosen = listing(policy, own) if policy.group == "tofu" and own else policy
        found[policy.number] = build(chosen.spec, chosen.base, KEY, shared.reader, shared.corpus)
        done()
    return found


def stopped(
    results: Iterable[Scanned], output: OutputGuard, answers: Mapping[str, str], done: Callable[[], object]
) -> list[Scanned]:
    """Mark requests whose reference answer is known with whether it is stopped; `done` is called after each.

    `answers` are by the row that a request was made from; see `answered.reference_answers`. Doubt is that of flagged
    requests.
    """
    found = []
    for result in results:
        case = result.case
        answer = answers.get(case.item.split()[0]) if case.item and case.group == "tofu" else None
        if answer is None:
            found.append(result)
        else:
            (finding,) = output.scan(case.parts, [answer], result.flagged, [case.policy])
            found.append(replace(result, stopped=finding.told))
        done()
    return found
