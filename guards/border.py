"""Where an answer goes on with a text of the request: a value may begin in one and end in the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from guards.blindindex import LONGEST, BlindIndex
from guards.finding import BARRIER, OPENINGS
from guards.verdict import TextPart
from guards.wording import Wording, Words, counted

REACH = 384
"""Characters on one side of the border."""
_SAID = re.compile(r"/messages/\d+/content(?:/\d+/text)?")
_PROMPT = re.compile(r"/prompt(?:/\d+)?")


@dataclass(frozen=True, slots=True)
class Border:
    """The last words of a request, and the same words with the first ones of an answer behind them, `count` times."""

    count: int
    before: list[Words]
    joined: list[Words]

    def crossed(self, index: BlindIndex) -> Iterator[int]:
        """Numbers of the items that end in the answer: there are more of them than the request's words hold."""
        joined = counted(index, self.joined)
        before = counted(index, self.before) if joined else joined
        return (number for number, times in joined.items() if times > self.count * before[number])


def border(asked: Sequence[TextPart], answer: Sequence[str], wording: Wording) -> Border:
    """The words around the place where the answer goes on with the request. Raises `UnreadError`."""
    before, after = _tail(asked), _heads(answer)
    alone = wording.readable(before) if before and after else None
    if alone is None:
        return Border(0, [], [])
    return Border(len(after), alone, wording.words([BARRIER.join(before + head for head in after)]))


def _tail(asked: Sequence[TextPart]) -> str:
    """The last words of what an answer goes on with: the last message of the assistant, else the prompt."""
    said = [part.text for part in asked if part.role == "assistant" and _SAID.fullmatch(part.path)]
    before = said or [part.text for part in asked if _PROMPT.fullmatch(part.path)]
    return "".join(re.findall(r"\S+\s*|\s+", before[-1][-REACH:])[-LONGEST:]) if before else ""


def _heads(answer: Iterable[str]) -> list[str]:
    """The first words of every text, and of every alternative that can begin with the answer; each once."""
    texts = (piece for text in answer for piece in text.split(BARRIER, OPENINGS)[:OPENINGS])
    return sorted({"".join(re.findall(r"\s*\S+", text[:REACH])[:LONGEST]) for text in texts} - {""})
