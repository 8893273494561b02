"""What the output guard says, and how it is asked; free of imports, for a gateway that has no policies."""

from __future__ import annotations

from typing import Literal, NamedTuple

BARRIER = " \ua66e "
"""A word that no name holds, with the spaces around it: it parts the texts of an answer's alternatives."""
AROUND = 6
"""Tokens of the chosen path that stand on both sides of an alternative."""
OPENINGS = 2 * 20 * (AROUND + 1)
"""Alternatives that can begin with the answer: of each of the first tokens, as many as stand before an alternative and
one, 20 (the most that an engine shows), each alone and with what follows."""

CANDIDATES = 3
"""So many choices of one list, one of them a value of a policy, offer candidates of one attribute."""

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
