"""Probes through a gateway, and which policies acted on each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rich.progress import Progress

from benchmarks.leakage.client import Answered, ask_all
from benchmarks.leakage.score import Outcome, by_family
from benchmarks.probes.spec import Probe
from benchmarks.probes.tokens import Wording
from benchmarks.scale.gateways import Gateway


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers in the order of the probes; `acted` by request id."""

    answered: tuple[Answered, ...]
    acted: Mapping[str, frozenset[str]]

    def policies(self, answered: Answered) -> frozenset[str]:
        """Policies that acted in any step."""
        ids = (reply.headers.get("x-request-id", "") for reply in answered.replies)
        return frozenset[str]().union(*(self.acted.get(i, frozenset()) for i in ids))

    def outcomes(self) -> dict[str, list[Outcome]]:
        """What the answers tell, by family."""
        return by_family(self.answered)


def ask(gateway: Gateway, asked: Sequence[Probe], wording: Wording, bars: Progress, title: str) -> Answers:
    """Ask all probes, with a bar. Raises what `ask_all` raises."""
    task = bars.add_task(title, total=len(asked))
    answered = asyncio.run(ask_all(gateway.server, asked, partial(bars.advance, task), wording.encode, wording.render))
    answers = Answers(tuple(answered), gateway.acted())
    ids = {reply.headers.get("x-request-id", "") for one in answered for reply in one.replies}
    if missing := ids - set(answers.acted):
        raise RuntimeError(f"{len(missing)} of {len(ids)} answers have no record in {gateway.audit}")
    return answers
