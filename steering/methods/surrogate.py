"""A never-trained surrogate: the same questions about names that do not exist.

What the model says about a name that nobody ever taught it is the target of the search for strength: nobody has a
second model that was trained without the forgotten texts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

ONSETS = ("Br", "C", "Cl", "D", "F", "Gr", "H", "J", "K", "L", "M", "N", "P", "Qu", "R", "S", "St", "T", "Tr", "V", "W")
NUCLEI = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
CODAS = ("l", "n", "r", "nd", "rk", "st", "m", "sk", "rn", "ll", "x", "th")
ENDINGS = ("a", "o", "wick", "ton", "er", "by", "ley", "mere", "dale", "is", "us", "ford")


@dataclass(frozen=True, slots=True)
class Question:
    """A question for the search.

    Attributes:
        text: as a user would type it.
        spans: character ranges `[start, end)` of the names in it; sorted, disjoint.
        values: strings whose appearance in an answer shows knowledge.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    values: tuple[str, ...]


def invented_names(count: int, seed: int) -> list[str]:
    """Different pronounceable names of one or two words that no text can have taught."""
    rng = random.Random(seed)

    def word() -> str:
        head = "".join((rng.choice(ONSETS), rng.choice(NUCLEI), rng.choice(CODAS)))
        return head + rng.choice(ENDINGS)

    names: list[str] = []
    while len(names) < count:
        name = word() if rng.random() < 0.4 else f"{word()} {word()}"
        if name not in names:
            names.append(name)
    return names


def surrogate(question: Question, names: Sequence[str], rng: random.Random) -> str:
    """The question with every name replaced by an invented one; equal names get the same replacement."""
    return renamed(question, names, rng).text


def renamed(question: Question, names: Sequence[str], rng: random.Random) -> Question:
    """`surrogate` with the spans of the invented names; it has no values."""
    chosen: dict[str, str] = {}
    free = rng.sample(list(names), min(len(names), len(question.spans)))
    text, spans, at = "", [], 0
    for start, end in question.spans:
        surface = question.text[start:end].casefold()
        chosen.setdefault(surface, free[len(chosen)])
        text += question.text[at:start]
        spans.append((len(text), len(text) + len(chosen[surface])))
        text += chosen[surface]
        at = end
    return Question(text + question.text[at:], tuple(spans), ())


def filled(question: Question, name: str) -> Question:
    """The question with every span replaced by a name."""
    text, spans, at = "", [], 0
    for start, end in question.spans:
        text += question.text[at:start]
        spans.append((len(text), len(text) + len(name)))
        text += name
        at = end
    return Question(text + question.text[at:], tuple(spans), ())
