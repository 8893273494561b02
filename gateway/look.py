"""One look at a whole answer: what the output guard says about it, row by row where the request is a batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.conversation import Conversation
from gateway.withheld import Withheld
from guards.finding import Finding
from guards.verdict import Span, TextPart, Verdict

_ROW = "/prompt/"


class Follower(Protocol):
    """Follows one answer while it comes; `guards.following.Following` is one. One call at a time."""

    @property
    def safe(self) -> int:
        """Characters that may leave, as far as the answer was read."""

    def read(self, piece: str) -> list[Finding]:
        """One finding per policy about all that has come, with the next piece of it."""


class OutputScanner(Protocol):
    """What the gateway needs of an output guard; `guards.output.OutputGuard` is one. Thread-safe."""

    def scan(
        self,
        asked: Sequence[TextPart],
        answer: Sequence[str],
        verdicts: Mapping[str, Verdict],
        policies: Collection[str],
    ) -> list[Finding]:
        """One finding per policy named."""

    def follow(self, asked: Sequence[TextPart], verdicts: Mapping[str, Verdict], policies: Collection[str]) -> Follower:
        """Begin to follow an answer of one text."""

    def offered(
        self, asked: Sequence[TextPart], verdicts: Mapping[str, Verdict], policies: Collection[str]
    ) -> list[str]:
        """Policies of which a request offers candidates to choose from."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found. `rows`: pointers of the rows of a batch whose answers tell something; None for a conversation."""

    findings: Mapping[str, Finding]
    rows: frozenset[str] | None


NOT_LOOKED = Looked({}, None)
"""Of an answer that could not be looked at: a policy without a finding has not passed it."""


def choosing(
    output: OutputScanner, parts: Sequence[TextPart], verdicts: Mapping[str, Verdict], policies: Collection[str]
) -> dict[str, Verdict]:
    """The verdicts, with those flagged whose policies have candidates in the request: all of its texts are windows."""
    whole = tuple(Span(number, 0, len(part.text)) for number, part in enumerate(parts))
    offered = [policy for policy in output.offered(parts, verdicts, policies) if not verdicts[policy].flagged]
    flagged = {p: verdicts[p]._replace(flagged=True, source="classifier", windows=whole) for p in offered}
    return {**verdicts, **flagged}


def look(
    output: OutputScanner,
    conversation: Conversation,
    verdicts: Mapping[str, Verdict],
    policies: Collection[str],
    answer: Withheld,
    body: Mapping[str, Any],
) -> Looked:
    """Look at an answer to a sanitised body. Raises `UpstreamFailedError` for an answer that cannot be read.

    Rows of a batch are prompts of their own: a subject in one row and a value in the answer to another are no pair.
    """
    parts = conversation.parts
    if not isinstance(body.get("prompt"), list) or not all(part.path.startswith(_ROW) for part in parts):
        found = output.scan(parts, [text.text for text in answer.texts()], verdicts, policies)
        return Looked({finding.policy: finding for finding in found}, None)
    each = body.get("n") or 1
    places = {part.path: place for place, part in enumerate(parts)}
    answers: dict[int | None, list[str]] = {}
    for text in answer.texts():
        answers.setdefault(None if text.choice is None else text.choice // each, []).append(text.text)
    around = answers.pop(None, [])
    findings: dict[str, Finding] = {}
    rows: set[str] = set()
    for number, texts in answers.items():
        pointer = f"{_ROW}{number}"
        place = places.get(pointer)
        of_row = [parts[place]] if place is not None else []
        for finding in output.scan(of_row, [*texts, *around], _of_row(verdicts, place), policies):
            known = findings.get(finding.policy, finding)
            first = known if known.told else finding
            findings[finding.policy] = first._replace(ran=known.ran and finding.ran)
            if finding.told:
                rows.add(pointer)
    return Looked(findings, frozenset(rows))


def _of_row(verdicts: Mapping[str, Verdict], place: int | None) -> dict[str, Verdict]:
    """The verdicts as they are on one row, as far as they know its p-value.

    One that does not know it speaks of every row, unless it is flagged and points at others.
    """
    of_row = {}
    for number, verdict in verdicts.items():
        if place is not None and place < len(verdict.rows):
            of_row[number] = verdict._replace(p_value=verdict.rows[place])
        elif not verdict.flagged or _points(verdict, place):
            of_row[number] = verdict
    return of_row


def _points(verdict: Verdict, place: int | None) -> bool:
    return any(span.part == place for span in (*verdict.windows, *verdict.entities, *verdict.described))
