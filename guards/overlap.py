"""What a forget request shares with other policies: names, examples, texts that one forgets and the other keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guards.guard import Guard
from guards.intake import ForgetRequest, Objection, alike, keeping, spelled
from guards.reading import Reader
from guards.verdict import TextPart

HALF = 0.5
"""Share of a request's examples from which on another policy that flags them covers the same subject."""


@dataclass(frozen=True, slots=True)
class Other:
    """Another policy. `label` is its number or the name of its file; a bundle holds no examples from files."""

    label: str
    request: ForgetRequest


def overlaps(request: ForgetRequest, others: Sequence[Other], reader: Reader) -> list[Objection]:
    """What is shared with each of the other policies."""
    return [objection for other in others for objection in _overlap(request, other, reader)]


def _overlap(request: ForgetRequest, other: Other, reader: Reader) -> list[Objection]:
    found = []
    mine, theirs = request.names, {spelled(name, reader.normalizer) for name in other.request.names}
    both = [at for at, name in enumerate(mine) if spelled(name, reader.normalizer) in theirs]
    if both:
        said = (
            f"{len(both)} names are also in policy {other.label}, by their places in the list of all names: "
            f"{_places(both)}. A request that holds one is counted for both; merge them, or leave the names to one."
        )
        found.append(Objection("warn", "overlap", said, tuple(mine[at] for at in both)))
    pairs = alike(request.texts, other.request.texts, {*request.names, *other.request.names}, reader)
    if pairs:
        said = (
            f"{len(pairs)} examples are also in policy {other.label}, by their places in both lists: "
            f"{', '.join(f'{a} and {b}' for a, b in pairs)}. Leave them to one of the two."
        )
        found.append(Objection("warn", "overlap", said, tuple(request.texts[a] for a, _ in pairs)))
    for one, keeper, where in (
        (request, other.request, f"harmless texts of policy {other.label} hold aliases of this one"),
        (other.request, request, f"harmless texts of this policy hold aliases of policy {other.label}"),
    ):
        kept = keeping(one, keeper.retained, reader.normalizer)
        if kept:
            said = f"{len(kept)} {where}, at the places {_places(kept)}: one keeps what the other forgets. Remove them."
            found.append(Objection("warn", "overlap", said, tuple(keeper.retained[at] for at in kept)))
    return found


def covered(request: ForgetRequest, guard: Guard, policy: str) -> list[Objection]:
    """Other active policies that flag at least HALF of the request's examples already."""
    counts: dict[str, int] = {}
    for text in request.texts:
        for verdict in guard.scan([TextPart("/messages/0/content", "user", text)]):
            if verdict.flagged and verdict.policy != policy:
                counts[verdict.policy] = counts.get(verdict.policy, 0) + 1
    return [
        Objection(
            "warn",
            "overlap",
            f"policy {number} already flags {count} of the {len(request.texts)} examples. Extend that one instead, or "
            "narrow one of the two.",
        )
        for number, count in sorted(counts.items())
        if count >= HALF * len(request.texts)
    ]


def _places(places: Sequence[int]) -> str:
    return ", ".join(map(str, places))
