"""Titles: names of works, places and things that belong to a subject, of several words that begin with capitals.

"Who wrote ...?" with a title in it names the subject as surely as an alias, but has nothing else by which a static
embedding could know it from the same question about another book. So a title that no harmless text of the fit holds is
a verdict by itself. Its words may be ordinary ones, so it has to be written as a title.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from guards.normalize import AliasView

_QUOTED = re.compile(
    r'"([^"\n]{3,80})"|\u201c([^\u201c\u201d\n]{3,80})\u201d'
    r"|(?<!\w)['\u2018]([^'\u2018\u2019\n](?:[^\"\u201c\u201d\n]{2,79}?))['\u2019](?!\w)"
)
CAPITALS = 2
"""Words of a title that begin with a capital."""


def is_title(text: str) -> bool:
    """Whether a name is written as a title."""
    return sum(word[0].isupper() for word in text.split()) >= CAPITALS


def quoted_titles(texts: Iterable[str]) -> list[str]:
    """Titles in quotation marks, in order, each once."""
    found = [match[1] or match[2] or match[3] for text in texts for match in _QUOTED.finditer(text)]
    parts = (part for one in found for part in (one, re.split(r": | \(", one)[0]))
    return list(dict.fromkeys(t for t in (one.strip(" ,.;:!?") for one in parts) if is_title(t)))


def as_title(text: str, view: AliasView, start: int, end: int) -> bool:
    """Whether the characters `[start, end)` of a view of a text begin words with capitals.

    Who writes without any capitals writes titles so as well.
    """
    letters = view.text[start:end]
    begins = [start, *(start + i + 1 for i, letter in enumerate(letters) if letter == " ")]
    capitals = sum(text[int(view.origin[at])].isupper() for at in begins if at < end)
    return capitals >= min(CAPITALS, len(begins)) or not re.search("[A-Z]", text)
