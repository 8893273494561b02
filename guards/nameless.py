"""A request without the names of its policies about facts.

Such a policy goes by which of a person's facts is asked for. Names say nothing about that, and its linear model was
fitted on texts without them, so the texts are weighed again with white space in the place of the names. A name inside
of a code takes the whole code with it, and what else stood in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from guards.evidence import Models
from guards.reading import Reader
from guards.request import Request, merged
from guards.verdict import Span, TextPart

MOST_SPELLINGS = 64
"""Spellings of names in one request that are looked at to learn whether they are names and nothing else; more are taken
for codes."""


@dataclass(frozen=True, slots=True)
class Nameless:
    """A request without the names of its policies about facts.

    Attributes:
        parts: its texts with white space in the place of the names, or of the codes that hold them.
        policies: places of the policies that weigh these texts.
        coded: a code went with a name of any of them, and the question may have been in it, so that the texts with the
            names count as well.
    """

    parts: list[TextPart]
    policies: tuple[int, ...]
    coded: bool

    @classmethod
    def of(cls, parts: Sequence[TextPart], request: Request, models: Models, reader: Reader) -> Nameless:
        """Take the names out of the texts; `request` is what was found in them."""
        policies = tuple(policy for policy in request.names if models.facts[policy])
        spans: list[Span] = []
        spelled: set[tuple[int, int, tuple[str, ...]]] = set()
        for policy in policies:
            for number, name in request.names[policy]:
                places = list(request.spans(number, name.start, name.end))
                spans += places
                spelled.add((policy, name.number, tuple(parts[s.part].text[s.start : s.end] for s in places)))
        coded = len(spelled) > MOST_SPELLINGS or not all(
            any(_only_name(policy, name, glue.join(pieces), models, reader) for glue in (" ", ""))
            for policy, name, pieces in spelled
        )
        return cls(without(parts, spans), policies, coded)


def without(parts: Sequence[TextPart], gone: Iterable[Span]) -> list[TextPart]:
    """The parts with white space in the place of spans."""
    kept = list(parts)
    for number, spans in groupby(merged(gone), key=lambda span: span.part):
        text, at = parts[number].text, 0
        pieces: list[str] = []
        for span in spans:
            pieces += (text[at : span.start], " " * (span.end - span.start))
            at = span.end
        kept[number] = replace(parts[number], text="".join((*pieces, text[at:])))
    return kept


def _only_name(policy: int, number: int, text: str, models: Models, reader: Reader) -> bool:
    """Whether a text is a name from end to end, and so nothing is lost with it. A code may hold more than it."""
    reading = reader.read(text)
    plain = replace(
        reading,
        views=tuple(view for view in reading.views if (view.ends - view.starts == 1).all()),
        heard=tuple(heard for heard in reading.heard if heard.source is None),
    )
    found = models.names(plain).get(policy, ())
    return any((name.number, name.start, name.end) == (number, 0, len(text)) for name in found)
