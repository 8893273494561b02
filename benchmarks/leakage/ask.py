"""Ask every arm every probe, engine by engine, with a progress bar."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.bars import progress
from benchmarks.leakage import servers
from benchmarks.leakage.arms import Arm
from benchmarks.leakage.audit import acted, decisions, stopped
from benchmarks.leakage.client import Answered, Reply, Server, ask_all, time_in_turn
from benchmarks.leakage.suite import FEW_HARMLESS, NARROW
from benchmarks.probes.spec import Probe
from benchmarks.probes.tokens import Encode, Render
from guards.guard import Shared

TIMED = 40
"""Plain questions whose time is taken."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Answers of one arm, in the order of the probes.

    `decisions` about the requests are those of the audit log, by request id; `guarded`: the guard that was fitted made
    them. `stopped`: ids of requests of which an output guard stopped an answer. `times` are milliseconds of some plain
    questions, asked one by one on the idle engine.
    """

    forget: tuple[Answered, ...]
    harmless: tuple[Answered, ...]
    decisions: Mapping[str, str]
    guarded: bool = False
    stopped: frozenset[str] = frozenset()
    times: tuple[float, ...] = ()

    def changed(self, after: Callable[[Answered], Answered]) -> Asked:
        """The same answers, each of them changed; no guard had a part in it."""
        return Asked(tuple(map(after, self.forget)), tuple(map(after, self.harmless)), {})

    def flagged(self, answered: Answered) -> bool:
        """Whether the guard made the gateway intervene in any step, or refuse.

        Raises `KeyError` for an answer that the audit log does not know: it would count as a miss of the guard.
        """
        return any(acted(self._decision(reply)) for reply in answered.replies)

    def _decision(self, reply: Reply) -> str:
        request = reply.headers["x-request-id"]
        return self.decisions[request] if reply.status == 200 else self.decisions.get(request, "")


def ask(
    arms: Sequence[Arm],
    models: Mapping[str, Path],
    bundles: Mapping[str, Path],
    bundle_key: str,
    forget: Sequence[Probe],
    harmless: Sequence[Probe],
    encode: Encode,
    render: Render,
    backend: str,
    folder: Path,
    extra: Sequence[str] = (),
) -> dict[str, Asked]:
    """Start one engine after the other, ask the arms on it; logs and audit logs go to `folder`.

    All gateways of an engine stay open until the last one was asked, because they are timed in turn at the end.
    `extra` are options of vLLM.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Asked] = {}
    shared = Shared.load()
    with progress() as bars:
        for model, place in models.items():
            chosen = [arm for arm in arms if arm.model == model]
            audits = {arm.name: folder / f"audit-{arm.name.replace(' ', '-')}.jsonl" for arm in chosen}
            answers: dict[str, tuple[list[Answered], list[Answered]]] = {}
            opened: dict[str, Server] = {}
            waiting = bars.add_task(f"starting the engine with {model}", total=None)
            with (
                servers.engine(place, backend, folder / f"engine-{model}.log", extra) as engine,
                ExitStack() as gateways,
            ):
                bars.remove_task(waiting)
                for arm in chosen:
                    if arm.of:
                        continue
                    audits[arm.name].unlink(missing_ok=True)
                    bundle = bundles[arm.method] if arm.method else None
                    server = gateways.enter_context(
                        servers.gateway(engine, bundle, bundle_key, audits[arm.name], arm.guard, shared=shared)
                    )
                    attack = [arm.before(probe) for probe in forget if arm.wide or probe.family in NARROW]
                    usual = [arm.before(probe) for probe in harmless if arm.harmless or probe.family in FEW_HARMLESS]
                    task = bars.add_task(arm.name, total=len(attack) + len(usual))
                    step = partial(bars.advance, task)
                    said = asyncio.run(ask_all(server, [*attack, *usual], step, encode, render))
                    answers[arm.name], opened[arm.name] = (said[: len(attack)], said[len(attack) :]), server
                direct = [probe for probe in forget if probe.family == "direct"][:TIMED]
                plans = {arm.name: [arm.before(probe) for probe in direct] for arm in chosen if arm.name in opened}
                in_turn = {name: (opened[name], probes) for name, probes in plans.items()}
                times = asyncio.run(time_in_turn(in_turn, encode, render))
            for arm in chosen:  # the gateways are closed, so their audit logs are whole
                if arm.of:
                    found[arm.name] = found[arm.of].changed(arm.after)
                    continue
                attacked, kept = answers[arm.name]
                audit, guarded = audits[arm.name], bool(arm.method) and arm.guard is None
                found[arm.name] = Asked(
                    tuple(attacked), tuple(kept), decisions(audit), guarded, stopped(audit), tuple(times[arm.name])
                )
    return found
