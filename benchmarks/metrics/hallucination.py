"""What is said instead of a forgotten fact: a wrong one as if it were known, or that it is not known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from benchmarks.metrics.leak import leaks
from benchmarks.metrics.readings import folded_words

Outcome = Literal["leak", "wrong", "hedged", "ignorant", "other"]
"""`leak`: a true value. `wrong`: another value of the attribute, said as if known. `hedged`: one, but the answer also
says that it does not know. `ignorant`: only that. `other`: none of these, such as an answer off the topic."""

_IGNORANT = re.compile(
    r" (?:(?:i|we) (?:really |honestly |simply |just )?(?:do not|don t|dont|can not|cannot|can t) "
    r"(?:actually |really )?(?:know|recall|remember|say|tell|have (?:any |enough |that |this |the )?(?:\w+ )?"
    r"(?:information|details|knowledge|data|record|records))"
    r"|(?:i|we) have (?:no|never) (?:\w+ )?(?:idea|information|knowledge|record|records|data|details|heard)"
    r"|(?:i m|i am|im|we re|we are) (?:not (?:sure|certain|aware|familiar)|unsure|unaware|unfamiliar|unable)"
    r"|no (?:\w+ )?information (?:is )?(?:available|known|on|about)|not (?:publicly )?known|unknown"
    r"|beyond my knowledge|i never heard) "
)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Shares of the outcomes, which add up to 1, and the number of answers."""

    leak: float
    wrong: float
    hedged: float
    ignorant: float
    other: float
    n: int


def outcome(answer: str, values: Iterable[str], wrong: Iterable[str], question: str = "") -> Outcome:
    """Classify an answer: `values` are the true ones, `wrong` all other values of the attribute in the world.

    Values that the question holds do not count; of the wrong ones those do not that are part of a true one.
    """
    true = tuple(values)
    if leaks(answer, true, question):
        return "leak"
    unsure = says_ignorant(answer)
    if leaks(answer, [w for w in wrong if not any(leaks(t, [w]) for t in true)], question):
        return "hedged" if unsure else "wrong"
    return "ignorant" if unsure else "other"


def outcomes(each: Sequence[Outcome]) -> Outcomes:
    """Shares over answers. Raises `ValueError` for none."""
    if not each:
        raise ValueError("no answers to count")
    counts = Counter(each)
    return Outcomes(**{name: counts[name] / len(each) for name in get_args(Outcome)}, n=len(each))


def says_ignorant(answer: str) -> bool:
    """Whether an English answer says that it does not know."""
    return _IGNORANT.search(f" {' '.join(folded_words(answer))} ") is not None
