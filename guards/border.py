"""Where an answer goes on with a text of the request: a value may begin in one and end in the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from guards.blindindex import LONGEST
from guards.verdict import TextPart

BARRIER = "\ua66e"
"""A word that no name holds; it parts the texts of an answer's alternatives."""
REACH = 384
"""Characters on one side of the border."""
OPENINGS = 280
"""Alternatives that can begin with the answer: twice 20 of each of the first seven tokens; see `gateway.leaving`."""
_SAID = re.compile(r"/messages/\d+/content(?:/\d+/text)?")
_PROMPT = re.compile(r"/prompt(?:/\d+)?")


def tail(asked: Sequence[TextPart]) -> str:
    """The last words of what an answer goes on with: the last message of the assistant, else the prompt."""
    said = [part.text for part in asked if part.role == "assistant" and _SAID.fullmatch(part.path)]
    before = said or [part.text for part in asked if _PROMPT.fullmatch(part.path)]
    return "".join(re.findall(r"\S+\s*|\s+", before[-1][-REACH:])[-LONGEST:]) if before else ""


def heads(answer: Iterable[str]) -> list[str]:
    """The first words of every text, and of every alternative that can begin with the answer; each once."""
    texts = (piece for text in answer for piece in _opened(text))
    return sorted({"".join(re.findall(r"\s*\S+", text[:REACH])[:LONGEST]) for text in texts} - {""})


def _opened(text: str) -> list[str]:
    """The alternatives of a text, or the text; the spaces around a barrier belong to it."""
    return text.split(f" {BARRIER} ", OPENINGS)[:OPENINGS]
