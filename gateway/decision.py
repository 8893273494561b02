"""Verdicts and rules -> what happens to a request. Pure: no clock, no network, no state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Literal

from gateway.conversation import Conversation
from gateway.look import Looked
from gateway.masking import on_texts, on_verdicts
from gateway.policy import Rules
from guards.verdict import Verdict
from steering.plan import Intervention
from steering.spec import Mask

Together = Mapping[frozenset[str], str]
"""Numbers of policies whose edits of activations the engine can make at once -> the program that does."""
ALONE: Together = MappingProxyType({})

Action = Literal["pass", "observe", "intervene", "refuse", "fail"]
"""pass: not flagged; observe: flagged, but the policy only watches; fail: the guard did not run."""


@dataclass(frozen=True, slots=True)
class ActivePolicy:
    """What the decision needs of a policy.

    `corrupts`: whether its program corrupts words (method eco), which hides whatever they name. An edit of activations
    removes the directions of its own policy only. Unknown counts as an edit.
    """

    number: str
    program: str
    mask: Mask
    rules: Rules
    corrupts: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy contributed; goes to metrics and audit, never to the client."""

    policy: str
    mode: str
    action: Action
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Pass:
    """Answer as the bare engine would."""

    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Intervene:
    """Answer under an intervention."""

    intervention: Intervention
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not ask the engine.

    Reasons: `policy` (rule `response: refusal`), `unscannable` (content that no guard can read), `guard` (a guard did
    not run, or no program hides what all flagged policies forget), `output` (an answer under an intervention still
    tells what is forgotten).
    """

    reason: Literal["policy", "unscannable", "guard", "output"]
    outcomes: tuple[Outcome, ...]


Decision = Pass | Intervene | Refuse


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of a request when it is sent: what was decided, from what, and who looks at the answer.

    `policies` are the applicable ones, `watching` those of them that look at the answer; `together` as for `decide`.
    """

    decision: Decision
    conversation: Conversation
    verdicts: Mapping[str, Verdict]
    watching: Sequence[ActivePolicy]
    policies: Sequence[ActivePolicy] = ()
    together: Together = field(default_factory=dict)

    @property
    def numbers(self) -> list[str]:
        """Numbers of the policies that look at the answer."""
        return [policy.number for policy in self.watching]


def applicable(policies: Iterable[ActivePolicy], model: str, tenant: str, today: date) -> list[ActivePolicy]:
    """Policies that hold for a request: not off, not expired, in scope."""
    return [
        p
        for p in policies
        if p.rules.mode != "off"
        and (p.rules.expires is None or today < p.rules.expires)
        and p.rules.scope.covers(model, tenant)
    ]


def enforced(policy: ActivePolicy, key: str) -> bool:
    """Whether a policy acts on this conversation or only watches it.

    Mode canary draws by a hash of policy number and `key` (the first user text), so that a conversation stays on one
    side from turn to turn and after a restart.
    """
    if policy.rules.mode != "canary":
        return policy.rules.mode == "enforce"
    digest = hashlib.sha256(f"{policy.number}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100 < policy.rules.canary_percent


def decide(
    verdicts: Mapping[str, Verdict],
    policies: Sequence[ActivePolicy],
    conversation: Conversation,
    together: Together = ALONE,
) -> Decision:
    """Decide about a request. `policies` are the applicable ones; `verdicts` are by policy number.

    A missing verdict means that the guard did not run. Precedence: guard failures, unreadable content, fixed refusals,
    interventions. A truncated text is unreadable whether the rest of it was flagged or not: a difference would tell
    a client which words a policy knows.

    The engine runs one program per request, over the windows of all flagged policies: of several it is the one with the
    smallest p-value, then the smallest number, of those that corrupt words. Where all are edits of activations, each of
    which would leave what the others forget, it is the one that makes all of these edits, if the engine holds it;
    otherwise the request is refused as by a failing guard, whatever `on_error` says.
    """
    outcomes: list[Outcome] = []
    flagged: list[tuple[Verdict, ActivePolicy]] = []
    failed = unreadable = False
    for policy in sorted(policies, key=lambda p: p.number):
        acting = enforced(policy, conversation.first_user_text)
        verdict = verdicts.get(policy.number)
        action: Action = "pass"
        if verdict is None or not verdict.ran:
            action = "fail"
            failed = failed or (acting and policy.rules.on_error == "closed")
        elif verdict.flagged:
            action = "observe"
            if acting:
                action = "refuse" if policy.rules.response == "refusal" else "intervene"
                flagged.append((verdict, policy))
        unread = bool(conversation.unscannable) or bool(verdict and verdict.truncated)
        if acting and unread and policy.rules.unscannable == "refuse":
            unreadable, action = True, "refuse"
        p_value = verdict.p_value if verdict is not None and verdict.ran else None
        outcomes.append(Outcome(policy.number, policy.rules.mode, action, p_value))
    seen = tuple(outcomes)
    if failed:
        return Refuse("guard", seen)
    if unreadable:
        return Refuse("unscannable", seen)
    if any(policy.rules.response == "refusal" for _, policy in flagged):
        return Refuse("policy", seen)
    if not flagged:
        return Pass(seen)
    program = _program([policy for _, policy in flagged], (), verdicts, together)
    if program is None:
        return Refuse("guard", seen)
    masked = [(verdict, policy.mask) for verdict, policy in flagged]
    return Intervene(on_verdicts(program, masked, conversation), seen)


def watching(policies: Iterable[ActivePolicy]) -> list[ActivePolicy]:
    """Applicable policies that look through answers, those that only watch included: all answers are held alike."""
    return [policy for policy in policies if policy.rules.output != "off"]


def streams(policies: Iterable[ActivePolicy]) -> bool:
    """Whether all of the policies that look through answers let plain streams leave meanwhile."""
    return all(policy.rules.output == "stream" for policy in policies)


def reconsider(looked: Looked, judged: Judged, done: Decision) -> Decision:
    """Decide about an answer; `done` is the decision under which it was made.

    An answer that tells what an acting policy forgets is asked for again, with the content of every text masked (of a
    batch: of the rows concerned), because nothing says which words led to it. Where the same treatment gave the answer,
    the request is refused. The second program must hide what these policies forget and what the first was to hide: of
    several policies one that corrupts words leads, as in `decide`, first of those whose values were told.

    Outcomes are those of policies whose values were told, or whose look failed.
    """
    conversation, verdicts = judged.conversation, judged.verdicts
    outcomes: list[Outcome] = []
    acting: list[ActivePolicy] = []
    failed = False
    for policy in sorted(judged.watching, key=lambda p: p.number):
        finding = looked.findings.get(policy.number)
        enforcing = enforced(policy, conversation.first_user_text)
        if finding is None or not finding.ran:
            failed = failed or (enforcing and policy.rules.on_error == "closed")
            outcomes.append(Outcome(policy.number, policy.rules.mode, "fail", None))
        elif finding.told:
            action: Action = "observe"
            if enforcing:
                action = "refuse" if policy.rules.response == "refusal" else "intervene"
                acting.append(policy)
            outcomes.append(Outcome(policy.number, policy.rules.mode, action, None))
    seen = tuple(outcomes)
    if failed:
        return Refuse("guard", seen)
    if not acting:
        return Pass(seen)
    if any(policy.rules.response == "refusal" for policy in acting):
        return Refuse("policy", seen)
    hidden = {o.policy for o in done.outcomes if o.action == "intervene"} if isinstance(done, Intervene) else ()
    besides = [policy for policy in judged.policies if policy.number in hidden]
    program = _program(acting, besides, verdicts, judged.together)
    if program is None:
        return Refuse("guard", seen)
    before = done.intervention if isinstance(done, Intervene) else None
    again = on_texts(program, conversation, before, looked.rows)
    return Refuse("output", seen) if again == before else Intervene(again, seen)


def _program(
    acting: Sequence[ActivePolicy],
    besides: Sequence[ActivePolicy],
    verdicts: Mapping[str, Verdict],
    together: Together,
) -> str | None:
    """The program that hides what all of these forget, of one of `acting` if possible; None where there is none."""
    numbers = frozenset(policy.number for policy in (*acting, *besides))
    if len(numbers) == 1:
        return acting[0].program
    for policies in (acting, besides):
        able = [policy for policy in policies if policy.corrupts]
        if able:
            first = min(able, key=lambda p: (v.p_value if (v := verdicts.get(p.number)) else 1.0, p.number))
            return first.program
    return together.get(numbers)
