"""The output guard on the way of an answer: what it says becomes a decision."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.decision import Decision, Judged, reconsider
from gateway.guarded import attempt, attempt_aside
from gateway.look import NOT_LOOKED, Follower, Looked, OutputScanner, look
from gateway.metrics import Metrics
from gateway.withheld import Withheld

WHAT = "the output guard"


@dataclass(frozen=True, slots=True)
class Watch:
    """Looks at the answers to one request. `inline`: characters up to which it looks on the event loop."""

    output: OutputScanner | None
    judged: Judged
    body: Mapping[str, Any]
    inline: int
    metrics: Metrics

    async def told(self, answer: Withheld, done: Decision) -> Decision:
        """Decide about a whole answer. What fails closes the door, like a failing guard."""
        if self.output is None:
            return reconsider(NOT_LOOKED, self.judged, done)
        judged = self.judged
        task = partial(look, self.output, judged.conversation, judged.verdicts, judged.numbers, answer, self.body)
        return await self._decide(task, len(answer.body), done)

    def follow(self) -> Follower | None:
        """Begin to follow an answer; None where that failed."""
        output, judged = self.output, self.judged
        if output is None:
            return None
        return attempt(lambda: output.follow(judged.conversation.parts, judged.verdicts, judged.numbers), WHAT)

    async def told_so_far(self, follower: Follower | None, piece: str, done: Decision) -> Decision:
        """Decide about an answer when its next piece has come."""
        if follower is None:
            return reconsider(NOT_LOOKED, self.judged, done)

        def task() -> Looked:
            return Looked({finding.policy: finding for finding in follower.read(piece)}, None)

        return await self._decide(task, len(piece), done)

    async def _decide(self, task: Callable[[], Looked], size: int, done: Decision) -> Decision:
        started = time.perf_counter()
        size += sum(len(part.text) for part in self.judged.conversation.parts)
        size *= len(self.judged.watching)  # every policy looks by itself
        looked = await attempt_aside(task, WHAT, size=size, inline=self.inline)
        self.metrics.output_seconds.observe(time.perf_counter() - started)
        return reconsider(looked or NOT_LOOKED, self.judged, done)
