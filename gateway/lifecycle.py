"""The way of an inference request, from bytes to bytes (`Lifecycle.answer`)."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Protocol

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.access import Access
from gateway.body import parse_body, read_body
from gateway.carrying import Carrying, Stop, over_said
from gateway.conversation import Conversation, collect
from gateway.decision import (
    ActivePolicy,
    Intervene,
    Judged,
    Pass,
    Refuse,
    applicable,
    decide,
    streams,
    watching,
)
from gateway.disconnect import ClientGoneError, UntilDisconnect
from gateway.errors import LetheError, NotProtectedError, UnscannableError
from gateway.guarded import attempt, attempt_aside
from gateway.ledger import Entry, Ledger
from gateway.look import OutputScanner, choosing
from gateway.plain import plain
from gateway.programs import UNAVAILABLE, Programs
from gateway.refusal import refusal
from gateway.relay import StreamRelay
from gateway.sanitize import Sanitised, require_text, sanitize
from gateway.settings import Settings
from gateway.store import LoadedPolicy
from gateway.upstream import Reply, Upstream, failure
from gateway.watch import Watch
from gateway.watching import WatchedStream
from gateway.withheld import Withheld, withhold
from guards.verdict import TextPart, Verdict
from steering.plan import Plan, cache_salt, plan

log = logging.getLogger("lethe.lifecycle")

BARE_STATE = "bare"
BORDER = 384
"""Characters that a border between two texts adds to the work of a guard, which reads across it."""


class Scanner(Protocol):
    """What the gateway needs of a guard; `guards.guard.Guard` is one. Must be safe to call from several threads."""

    def scan(self, parts: Sequence[TextPart], policies: Collection[str] | None = None) -> list[Verdict]:
        """One verdict per policy named, all of them if None."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Everything an inference request meets on its way; built once by `gateway.app.create_app`."""

    settings: Settings
    access: Access
    upstream: Upstream
    programs: Programs
    carrying: Carrying
    policies: Sequence[LoadedPolicy]
    guard: Scanner | None
    output: OutputScanner | None
    ledger: Ledger
    salt_secret: bytes

    async def serve(self, request: Request, route: str) -> Response:
        """Answer a request and account for it. Raises `LetheError`."""
        entry = self.ledger.open(request.scope["lethe.request_id"], route)
        try:
            return await self.answer(request, route, entry)
        except LetheError as error:
            entry.close(error.status, error.code)
            raise
        except (ClientGoneError, ClientDisconnect):
            entry.close(499, "client gone")
            return Response(status_code=499)
        except BaseException:
            entry.close(500, "internal")
            raise

    async def answer(self, request: Request, route: str, entry: Entry) -> Response:
        """The steps in order: who, what, is it safe to serve, does it touch a policy, ask the engine, relay.

        Where a policy looks through answers the last step is `watched`.
        """
        entry.tenant = self.access.tenant(request.headers.get("authorization"))
        raw = await read_body(request, self.settings.limits.max_body_bytes)
        asked = sanitize(route, parse_body(raw, self.settings.limits.max_depth), self.settings.allow_fields)
        entry.model, today = asked.model, datetime.now(UTC).date()
        self.ledger.require()
        self.programs.require(asked.model, today)
        async with UntilDisconnect(request.receive):
            judged = await self.judge(asked, entry.tenant, today)
            entry.decide(judged.decision)
            if isinstance(judged.decision, Refuse):
                return self.refuse(judged.decision, route, asked, entry)
            live = bool(judged.watching) and await self.live(judged, route, asked)
            reply = await self.send(judged.decision, route, asked, entry)
            if judged.watching:
                return await self.watched(reply, judged, route, asked, entry, live=live and reply.streamed)
            if reply.streamed:
                return StreamRelay(reply, entry.close)
            body = await reply.read()
        entry.close(200)
        return Response(body, 200, {"content-type": reply.content_type})

    async def judge(self, asked: Sanitised, tenant: str, today: date) -> Judged:
        """Ask the guards about everything that can reach the prompt, and decide. Raises `RequestError`."""
        policies = applicable([policy.active for policy in self.policies], asked.model, tenant, today)
        if not policies:
            return Judged(Pass(), Conversation(), {}, ())
        watched = watching(policies)
        if watched:
            require_text(asked)
        conversation = await collect(asked.body, lambda tokens: self.upstream.detokenize(asked.model, tokens))
        verdicts = await self.scan(conversation, policies, [policy.number for policy in watched])
        together = self.programs.together
        decision = decide(verdicts, policies, conversation, together)
        return Judged(decision, conversation, verdicts, watched, policies, together)

    async def send(self, decision: Intervene | Pass, route: str, asked: Sanitised, entry: Entry) -> Reply:
        """Ask the engine. Raises `LetheError` for an answer that is not a 200, or a flagged one without proof."""
        order = self.plan(decision, route, asked, entry.tenant)
        started = time.perf_counter()
        reply = await self.upstream.send("POST", order.path, orjson.dumps(order.body))
        entry.upstream(time.perf_counter() - started)
        if reply.status != 200:
            raise await self.rejected(order, reply, route, asked)
        if order.program is not None:
            self.attested(order, reply)
        return reply

    async def live(self, judged: Judged, route: str, asked: Sanitised) -> bool:
        """Whether the answer may leave while it is looked at: asked before the engine is, which then waits for nobody.

        All the policies must allow it for a plain stream, and the model's template must let it be taken up again.
        """
        if not streams(judged.watching) or not plain(route, asked.body):
            return False
        return await self.carrying.able(asked.model, self.programs.boot)

    async def watched(
        self, reply: Reply, judged: Judged, route: str, asked: Sanitised, entry: Entry, *, live: bool
    ) -> Response:
        """Look at the whole answer before it leaves; ask once more under the intervention where it tells too much.

        The second answer ends like `response: refusal` if it tells a value too: by chance, or because the client gave
        it. Nothing is said in between, and the client sees one answer with the usage of that one. A `live` stream
        leaves while it is looked at.
        """
        watch = Watch(self.output, judged, asked.body, self.settings.guard.inline_chars, self.ledger.metrics)
        if live:
            return self.streamed(reply, watch, route, asked, entry)
        answer = await withhold(reply)
        decision = await watch.told(answer, judged.decision)
        entry.reconsider(decision)
        if isinstance(decision, Intervene):
            answer = await withhold(await self.send(decision, route, asked, entry))
            second = await watch.told(answer, decision)
            # the same treatment would give the same answer
            decision = Refuse("output", second.outcomes) if isinstance(second, Intervene) else second
            entry.reconsider(decision)
        if isinstance(decision, Refuse):
            return self.refuse(decision, route, asked, entry)
        entry.close(200)
        return answer.response()

    def streamed(self, reply: Reply, watch: Watch, route: str, asked: Sanitised, entry: Entry) -> Response:
        """A stream that leaves while it is looked at."""
        taking_up = self.carrying.taking_up(asked)

        async def again(decision: Intervene, said: str) -> Reply | Stop:
            if not said:
                return await self.send(decision, route, asked, entry)
            rest = await taking_up.rest(said)
            if not isinstance(rest, Sanitised):
                return rest
            return await self.send(over_said(decision, asked.body, said), route, rest, entry)

        async def measured(said: str) -> tuple[int, int] | None:
            usage = (asked.body.get("stream_options") or {}).get("include_usage")
            return await taking_up.lengths(said) if usage and said else None

        def refused(decision: Refuse) -> bytes:
            return self.refusal(decision, route, asked, entry).body

        source = WatchedStream(reply, watch, again=again, refused=refused, measured=measured, noted=entry.reconsider)
        return StreamRelay(source, entry.close)

    async def scan(
        self, conversation: Conversation, policies: Sequence[ActivePolicy], looking: Sequence[str]
    ) -> Mapping[str, Verdict]:
        """Verdicts by policy number; empty, which means "not run", where the guard failed.

        `looking`: numbers of the policies that look through answers.
        """
        if self.guard is None:
            return {}
        started = time.perf_counter()
        task = partial(self._verdicts, self.guard, conversation.parts, [policy.number for policy in policies], looking)
        # the guard reads a text once for all policies; those that look through answers read it again, each by itself
        size = sum(len(part.text) + BORDER for part in conversation.parts) * max(1, len(looking))
        inline = self.settings.guard.inline_chars if self.settings.guard.second is None else -1  # a transformer is slow
        verdicts = await attempt_aside(task, "the guard", size=size, inline=inline)
        if verdicts is None:
            return {}
        self.ledger.metrics.guard_seconds.observe(time.perf_counter() - started)
        if any(verdict.second for verdict in verdicts.values()):
            self.ledger.metrics.second_looks.inc()
        return verdicts

    def _verdicts(
        self, guard: Scanner, parts: Sequence[TextPart], policies: Sequence[str], looking: Sequence[str]
    ) -> Mapping[str, Verdict]:
        """Verdicts by policy number; a policy that looks through answers also looks at what one may be chosen from."""
        verdicts = {verdict.policy: verdict for verdict in guard.scan(parts, policies)}
        if self.output is None or not looking:
            return verdicts
        # a failure must not lose what the guard itself has found
        chosen = attempt(partial(choosing, self.output, parts, verdicts, looking), "the output guard")
        if chosen is not None:
            return chosen
        return {n: v if v.flagged or n not in looking else v._replace(ran=False) for n, v in verdicts.items()}

    def plan(self, decision: Intervene | Pass, route: str, asked: Sanitised, tenant: str) -> Plan:
        """The request for the engine. Its salt keeps tenants and treatments apart in the prefix cache."""
        intervention = decision.intervention if isinstance(decision, Intervene) else None
        if intervention is None:
            if not self.programs.needed and not asked.client_salt:
                return Plan(route, asked.body, None)  # any OpenAI-compatible server; it may not know the field
            state = BARE_STATE
        else:
            state = f"{intervention.program} {intervention.dose} {intervention.mask}"
        return plan(route, asked.body, intervention, cache_salt(self.salt_secret, tenant, asked.client_salt, state))

    def attested(self, order: Plan, reply: Reply) -> None:
        """Let a flagged answer through only with proof. Raises `NotProtectedError` before any of it was read."""
        try:
            self.programs.check(order, reply)
        except NotProtectedError:
            reply.close()
            raise

    async def rejected(self, order: Plan, reply: Reply, route: str, asked: Sanitised) -> LetheError:
        """The error for an answer that is not a 200, the same for flagged requests as for others."""
        error = failure(reply.status, await reply.read())
        if order.program is None:
            return error
        self.programs.look()
        if reply.status >= 500:
            return error
        # The flagged route checks more, earlier and in other words. If the bare route refuses the request as well, its
        # error is the one that an unflagged request gets; if it would answer, that is dropped unread: an outage.
        probe_body = {**asked.body, "cache_salt": secrets.token_hex(16)}
        if "stream_options" not in probe_body:
            probe_body["stream"] = True  # the head then comes before the answer is generated, and closing ends it
        bare = orjson.dumps(probe_body)
        probe = await self.upstream.send("POST", route, bare)
        if probe.status != 200:
            return failure(probe.status, await probe.read())
        probe.close()
        log.error("the engine did not carry out a flagged request (status %d); it was not answered", reply.status)
        return NotProtectedError(UNAVAILABLE)

    def refuse(self, decision: Refuse, route: str, asked: Sanitised, entry: Entry) -> Response:
        """Answer without the engine. Raises `NotProtectedError` and `UnscannableError`."""
        return self.refusal(decision, route, asked, entry).response()

    def refusal(self, decision: Refuse, route: str, asked: Sanitised, entry: Entry) -> Withheld:
        """The answer without the engine; accounts for it. Raises like `refuse`."""
        if decision.reason == "guard":
            raise NotProtectedError(UNAVAILABLE)
        if decision.reason == "unscannable":
            raise UnscannableError(
                "This deployment answers requests whose whole content is text of moderate length only."
            )
        body, content_type = refusal(route, asked.body)
        entry.close(200, "refusal")
        return Withheld(body, content_type, bool(asked.body.get("stream")))
