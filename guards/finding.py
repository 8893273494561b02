"""What the output guard says about one answer; free of imports, so that a gateway without policies loads nothing."""

from __future__ import annotations

from typing import Literal, NamedTuple

Rule = Literal["none", "pair", "alone", "doubtful"]


class Finding(NamedTuple):
    """What one policy's index says about one answer.

    Attributes:
        policy: opaque number of the policy, never its name.
        told: whether the answer tells what the policy forgets.
        rule: why. pair: a subject in question or answer, and one of its values in the answer; alone: a value that
            speaks for itself; doubtful: a rare value, after a question that the input guard nearly flagged.
        ran: False means "not read in full", which is never "passed".
    """

    policy: str
    told: bool
    rule: Rule = "none"
    ran: bool = True
