"""What of a request stands beside a name.

A policy about facts goes by its own, low, threshold where a subject is named: there the question is which of a person's
facts is asked for. That must be asked of the windows beside the name, and in a document with more confidence: a change
log of some pages that thanks a Mr Green holds windows about addresses and telephones as well, and one of them nearly
always reaches a threshold that was set on questions (`guards.limits.Limits.documents`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from guards.request import meets, merged
from guards.verdict import Span, TextPart

NEAR = 256
"""Characters between a name and what is beside it."""
WHOLE, END = 640, 256
"""A text up to WHOLE characters is beside every name of the request, as a turn of a conversation is; so is the END of a
longer one, where the question stands below a document."""


def beside(parts: Sequence[TextPart], names: Iterable[Span]) -> Callable[[Iterable[Span]], bool]:
    """A function that says whether any of some spans stands beside one of the names."""
    around = merged(Span(span.part, span.start - NEAR, span.end + NEAR) for span in names)

    def stands(spans: Iterable[Span]) -> bool:
        return bool(around) and any(not _inside(parts, span) or meets(span, around) for span in spans)

    return stands


def in_document(parts: Sequence[TextPart], spans: Iterable[Span]) -> bool:
    """Whether any of some spans is inside a text that is too long for a question."""
    return any(_inside(parts, span) for span in spans)


def ordinary(parts: Sequence[TextPart], spans: Iterable[Span], words: Collection[str]) -> bool:
    """Whether a name is written as the ordinary word that it is as well: "a green star" is not about Mr Green.

    That is one of `words` without a capital, in a text that has capitals elsewhere.
    """
    return all(
        parts[span.part].text[span.start : span.end] in words and not parts[span.part].text.islower() for span in spans
    )


def _inside(parts: Sequence[TextPart], span: Span) -> bool:
    length = len(parts[span.part].text)
    return length > WHOLE and span.end <= length - END
