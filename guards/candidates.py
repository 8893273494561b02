"""Candidates of one attribute in a request: where a model must choose, the choice is the answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from guards.blindindex import BlindIndex
from guards.finding import CANDIDATES
from guards.judging import belongs, doubtful, named
from guards.verdict import TextPart, Verdict
from guards.wording import Question, Wording, Words, counted

_CHOICE = re.compile(r"/(?:enum|choice|const)(?=/|\Z)")
"""What a string that can be chosen is below, in its JSON pointer."""
_LIST = re.compile(r"/(?:enum|choice|anyOf|oneOf|\$defs|definitions)(?=/)")
"""What choices from one list are below; definitions, because a list may refer to them."""
_PROPERTIES = re.compile(r"/properties\Z")
"""What names of properties are at, a line each: where a model must fill in one of them, the name is the choice."""


def offered(
    asked: Sequence[TextPart],
    verdicts: Mapping[str, Verdict],
    indices: Mapping[str, BlindIndex],
    wording: Wording,
) -> list[str]:
    """Policies of which a request offers candidates.

    A request offers three choices or more in one list of a schema or grammar, or three properties or more by name, one
    of them a value of the policy. An
    ordinary value, a city in a list of cities, counts only where a subject is in the request or the request is
    doubtful. A choice that cannot be read in full is none; the verdicts of the input guard say that it is there.
    """
    offers = [words for text in sorted(_choices(asked)) for words in wording.readable(text) or ()]
    question = Question(asked, wording)
    return [policy for policy, index in indices.items() if _offers(policy, index, offers, question, verdicts)]


def _choices(asked: Sequence[TextPart]) -> set[str]:
    """The choices of all lists that are long enough."""
    lists: dict[str, list[str]] = {}
    for part in asked:
        if _PROPERTIES.search(part.path):
            lists.setdefault(part.path, []).extend(part.text.split("\n"))
        elif _CHOICE.search(part.path):
            for place in _LIST.finditer(part.path):
                lists.setdefault(part.path[: place.end()], []).append(part.text)
    return {text for texts in lists.values() if len(texts) >= CANDIDATES for text in texts}


def _offers(
    policy: str,
    index: BlindIndex,
    offers: Collection[Words],
    question: Question,
    verdicts: Mapping[str, Verdict],
) -> bool:
    values = [number for number in counted(index, offers) if index.items[number].value]
    if not values or any(index.items[v].alone != "never" for v in values) or doubtful(verdicts, policy):
        return bool(values)
    asked = set[int]().union(*(numbers for _, numbers in question.found(policy, index)))
    subjects = named(index, range(len(index.items)) if question.unread else asked)
    return any(s != v and belongs(index, v, s) for v in values for s in subjects)
