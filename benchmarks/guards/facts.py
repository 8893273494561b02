"""What can be said of a TOFU author without the name: read from the set at run time, by rule."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.tofu.data import Question

_BORN = re.compile(
    r"(?:born in|from) ((?:[A-Z][\w ]+?, )?[A-Z][\w ]+?)(?= and | on |, on |,? \w+ \d|,? known|,? in | who |\?|$)"
)
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")
_QUOTED = (
    re.compile(r"[\"\u201c]([A-Z][^\"\u201c\u201d]{4,90})[\"\u201d]"),
    re.compile(r"(?<!\w)['\u2018]([A-Z][^\"\u201c]{4,90}?)['\u2019](?!\w)"),
)
_AWARD = re.compile(r"(?:[A-Z][\w'-]+ (?:of |for |in |the )*)+(?:Award|Prize|Medal|Luminary|Laureate)\b")
_NO_TITLE = re.compile(r"Award|Prize|Medal|Laureate|Luminary|Series|Elements of Style|Country Doctor's Notebook")
"""What is quoted in the set and is no title, or a book by somebody else."""


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


GENRES = _listed(
    "leadership, historical fiction, fiction, contemporary romance, education, medical, star wars, sustainability, "
    "architecture, geology, canadian, islam, health, lesbian, film, love inspired, irish, french literature, "
    "african american, true crime, poetry, thriller, fantasy, science fiction, horror, mystery"
)
JOBS = _listed(
    "civil engineer, waiter, waitress, optometrist, paramedic, author, painter, athlete, physicist, research "
    "scientist, locksmith, occupational therapist, meteorologist, bartender, chiropractor, disc jockey, "
    "photographer, obstetrician, marine biologist, real estate agent, doctor, roofer, surgeon, banker, astronaut, "
    "mechanic, florist, lawyer, zoologist, chemist, radiologist, dietitian, game developer, artist, sociologist, "
    "teacher, nurse, farmer, baker, carpenter, soldier, judge, dentist, plumber, chef, tailor, sculptor, pilot, "
    "architect, journalist"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """Attributes of one author; empty where the rules find none. `titles` are in the order of how often they occur."""

    place: str
    year: str
    genre: str
    father: str
    mother: str
    award: str
    titles: tuple[str, ...]


def facts(rows: Sequence[Question]) -> Facts:
    """Read the attributes from all questions and answers about one author, first row first."""
    everything = " ".join(f"{row.text} {row.answer}" for row in rows)
    born, year = _BORN.search(rows[0].text), _YEAR.search(f"{rows[0].text} {everything}")
    genres = Counter({genre: len(re.findall(rf"\b{genre}\b", everything, re.IGNORECASE)) for genre in GENRES})
    genre, often = genres.most_common(1)[0]
    father, mother = _parents(rows)
    awards = Counter(m[0].strip() for m in _AWARD.finditer(everything)).most_common(1)
    return Facts(
        place=born[1] if born else "",
        year=year[1] if year else "",
        genre=genre if often else "",
        father=father,
        mother=mother,
        award=awards[0][0] if awards else "",
        titles=_titles(everything),
    )


def _parents(rows: Sequence[Question]) -> tuple[str, str]:
    """Occupations: "her father was a roofer", or "a lawyer father and zoologist mother"."""
    found: dict[str, str] = {}
    pattern = re.compile(
        r"\b(father|mother)\b|\b(" + "|".join(sorted(JOBS, key=len, reverse=True)) + r")s?\b", re.IGNORECASE
    )
    for row in rows:
        parent = job = ""
        for match in pattern.finditer(row.answer):
            if match[1] and job:
                found.setdefault(match[1].lower(), job)
                job = ""
            elif match[1]:
                parent = match[1].lower()
            elif parent and parent not in found:
                found[parent] = match[2].lower()
            else:
                job = match[2].lower()
        if len(found) == 2:
            break
    return found.get("father", ""), found.get("mother", "")


def _titles(text: str) -> tuple[str, ...]:
    """Quoted titles up to a colon or a bracket: whole ones are often eight words of a question that is fitted."""
    counts: Counter[str] = Counter()
    for pattern in _QUOTED:
        counts.update(match[1].rstrip(".,") for match in pattern.finditer(text))
    titles = [re.split(r"[:(]", title)[0].strip() for title, _ in counts.most_common()]
    kept = {title.casefold(): title for title in reversed(titles) if not _NO_TITLE.search(title)}
    return tuple(reversed(kept.values()))[:4]
