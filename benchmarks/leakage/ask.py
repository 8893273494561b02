"""Ask every arm every probe, engine by engine, with a progress bar."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.leakage import servers
from benchmarks.leakage.arms import Arm
from benchmarks.leakage.client import Answered, ask_all
from benchmarks.leakage.suite import NARROW
from benchmarks.probes.spec import Probe
from benchmarks.probes.tokens import Encode, Render


@dataclass(frozen=True, slots=True)
class Asked:
    """Answers of one arm, in the order of the probes; `decisions` are those of the audit log, by request id."""

    forget: tuple[Answered, ...]
    harmless: tuple[Answered, ...]
    decisions: Mapping[str, str]

    @property
    def guarded(self) -> bool:
        """Whether there was a guard that could decide anything but to pass."""
        return any(decision != "pass" for decision in self.decisions.values())

    def flagged(self, answered: Answered) -> bool:
        """Whether the gateway intervened in any step, or refused to answer."""
        ids = (reply.headers.get("x-request-id", "") for reply in answered.replies)
        return any(self.decisions.get(i, "pass") != "pass" for i in ids)


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
) -> dict[str, Asked]:
    """Start one engine after the other, ask the arms on it; logs and audit logs go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Asked] = {}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns) as bars:
        for model, place in models.items():
            chosen = [arm for arm in arms if arm.model == model]
            waiting = bars.add_task(f"starting the engine with {model}", total=None)
            with servers.engine(place, backend, folder / f"engine-{model}.log") as engine:
                bars.remove_task(waiting)
                for arm in chosen:
                    audit = folder / f"audit-{arm.name.replace(' ', '-')}.jsonl"
                    audit.unlink(missing_ok=True)
                    bundle = bundles[arm.method] if arm.method else None
                    with servers.gateway(engine, bundle, bundle_key, audit, arm.guard) as server:
                        sides = []
                        narrowed = [probe for probe in forget if arm.wide or probe.family in NARROW]
                        for probes in (narrowed, harmless if arm.harmless else ()):
                            task = bars.add_task(arm.name, total=len(probes), visible=bool(probes))
                            asked = [arm.before(probe) for probe in probes]
                            answers = asyncio.run(ask_all(server, asked, partial(bars.advance, task), encode, render))
                            sides.append(tuple(arm.after(answer) for answer in answers))
                    found[arm.name] = Asked(sides[0], sides[1], _decisions(audit))
    return found


def _decisions(audit: Path) -> dict[str, str]:
    if not audit.exists():
        return {}
    records = map(json.loads, audit.read_text(encoding="utf-8").splitlines())
    return {record["request"]: record["decision"] for record in records if "request" in record}
