"""What goes into the guards and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

Source = Literal["none", "alias", "classifier", "second"]


@dataclass(frozen=True, slots=True)
class TextPart:
    """One string of a request that can reach the prompt.

    `path` is its JSON pointer in the request body, e.g. `/messages/1/content` or `/prompt/0`.
    """

    path: str
    role: str
    text: str


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Characters `[start, end)` of the original text of part number `part`."""

    part: int
    start: int
    end: int


class Verdict(NamedTuple):
    """What one policy's guard says about one request.

    Attributes:
        policy: opaque number of the policy, never its name.
        flagged: whether the request touches the policy.
        score: P(positive) of the worst window, in [0, 1]; 1.0 for an alias match that is a verdict by itself.
        p_value: conformal p-value of that score over all active policies, in (0, 1].
        source: what decided.
        entities: spans of matched names, aliases and related names; merged and sorted.
        windows: spans of the windows that were flagged; merged and sorted; never empty when flagged.
        truncated: some text was too long to be read in full.
        ran: False means "not run", which is never "passed".
        described: spans of the words without which, and without the matched names, nothing would be flagged; merged
            and sorted. To corrupt the names alone would leave a question that can be answered.
        rows: p-values of the rows of a batch, by the number of the part; empty for a conversation.
        second: a second encoder read texts of it, see `guards.grey`.
    """

    policy: str
    flagged: bool
    score: float
    p_value: float
    source: Source
    entities: tuple[Span, ...] = ()
    windows: tuple[Span, ...] = ()
    truncated: bool = False
    ran: bool = True
    described: tuple[Span, ...] = ()
    rows: tuple[float, ...] = ()
    second: bool = False


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of one policy on a request whose part number i got verdict i by itself.

    Score, p-value and source are those of the part that stands out most.
    """
    most = max(verdicts, key=lambda verdict: (verdict.flagged, verdict.score, -verdict.p_value))

    def placed(name: str) -> tuple[Span, ...]:
        found = enumerate(getattr(verdict, name) for verdict in verdicts)
        return tuple(replace(span, part=part) for part, spans in found for span in spans)

    return most._replace(
        entities=placed("entities"),
        windows=placed("windows"),
        described=placed("described"),
        truncated=any(verdict.truncated for verdict in verdicts),
        ran=all(verdict.ran for verdict in verdicts),
        second=any(verdict.second for verdict in verdicts),
        rows=tuple(verdict.p_value for verdict in verdicts),
    )
