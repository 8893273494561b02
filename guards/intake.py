"""Checks on a forget request before a guard is fitted for it."""

from __future__ import annotations

from collections.abc import Sequence

from guards.aliases import AliasIndex, Name
from guards.evidence import Models
from guards.normalize import Normalizer
from guards.part import FittedName
from guards.reading import Reading

MOST = 0.002
"""Largest share of benign texts in which one alias may occur."""
MOST_TOGETHER = 2 * MOST
"""Largest share of benign texts in which any alias of a policy may occur."""


class IntakeError(ValueError):
    """A policy whose guard would fire on common harmless traffic."""


def check_aliases(
    names: Sequence[FittedName], readings: Sequence[Reading], normalizer: Normalizer, *, verbose: bool = False
) -> float:
    """Refuse aliases that are ordinary words, one by one or together; return the share of benign texts with any alias.

    An alias is named by its place in the list of names, because refusals are logged; `verbose` adds its text. Raises
    `IntakeError`.
    """
    aliases = [Name(0, n.entity, "alias", i, n.text) for i, n in enumerate(names) if n.kind == "alias"]
    models = Models([], AliasIndex(aliases, normalizer), 0)
    counts = dict.fromkeys((a.number for a in aliases), 0)
    hit = 0
    for reading in readings:
        numbers = {f.number for found in models.names(reading).values() for f in found}
        hit += bool(numbers)
        for number in numbers:
            counts[number] += 1
    common = [i for i, count in counts.items() if count > MOST * len(readings)]
    if common:
        shown = ", ".join(f"{i} ({names[i].text!r})" if verbose else str(i) for i in common)
        raise IntakeError(
            f"aliases that are ordinary words, by their place in the list of all names: {shown}; each occurs in more "
            f"than {MOST:.1%} of harmless texts. Make them related names, or use longer ones."
        )
    if hit > MOST_TOGETHER * len(readings):
        raise IntakeError(
            f"the aliases together occur in {hit / len(readings):.1%} of harmless texts, more than "
            f"{MOST_TOGETHER:.1%}. Make those that are ordinary words related names, or use longer ones."
        )
    return hit / max(len(readings), 1)
