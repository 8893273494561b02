"""Requests in, what the guard says of each out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.guards.case import Case
from guards.guard import Guard
from guards.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Scanned:
    """A request with the verdicts of all policies that flag it, by policy, and the score of its own policy.

    `described`: only attributes let the classifier decide, as `told_apart` finds out. `stopped`: whether the output
    guard stops the reference answer, as `stopped.stopped` finds out; None where there is none. `second`: a second
    encoder read it.
    """

    case: Case
    flagged: dict[str, Verdict]
    score: float
    described: bool = False
    stopped: bool | None = None
    second: bool = False

    @property
    def caught(self) -> bool:
        """Whether the policy that must recognise it does; for a harmless request, whether any policy flags it."""
        return self.case.policy in self.flagged if self.case.policy else bool(self.flagged)

    @property
    def source(self) -> str:
        """What decided, of its own policy; "none" where it passes."""
        return self.flagged[self.case.policy].source if self.case.policy and self.caught else "none"

    @property
    def tier(self) -> str:
        """What decided, attributes told apart from the linear models."""
        return "attributes" if self.described else self.source


def scanned(guard: Guard, cases: Iterable[Case], done: Callable[[], object] = lambda: None) -> list[Scanned]:
    """Scan every request against all policies of the guard; `done` is called after each."""
    found = []
    for case in cases:
        verdicts = guard.scan(case.parts)
        own = next((v.score for v in verdicts if v.policy == case.policy), max(v.score for v in verdicts))
        second = any(v.second for v in verdicts)
        found.append(Scanned(case, {v.policy: v for v in verdicts if v.flagged}, own, second=second))
        done()
    return found


def told_apart(results: Iterable[Scanned], plain: Guard, done: Callable[[], object]) -> list[Scanned]:
    """Mark results that a guard without attributes (`plain`) does not flag; `done` is called after each."""
    found = []
    for result in results:
        described = False
        if result.source == "classifier":
            described = plain.scan(result.case.parts, [result.case.policy])[0].source in ("none", "second")
        found.append(replace(result, described=described))
        done()
    return found


def missed(results: Sequence[Scanned], count: int = 10) -> list[str]:
    """The texts that pass with the lowest scores, worst first."""
    passed = sorted((r for r in results if not r.caught), key=lambda r: r.score)
    return [r.case.shown for r in passed[:count]]


def wrongly(results: Sequence[Scanned], count: int = 10) -> list[str]:
    """Harmless texts that are flagged, with what decided; highest scores first."""
    hit = sorted((r for r in results if r.caught), key=lambda r: -r.score)
    return [f"[{', '.join(f'{p} {v.source}' for p, v in r.flagged.items())}] {r.case.shown}" for r in hit[:count]]
