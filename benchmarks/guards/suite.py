"""All requests of a run, made before anything is fitted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.guards.case import Case, Class, Item, Message
from benchmarks.guards.families import LISTED_CODES, Padding, families
from benchmarks.guards.overlap import Seen
from benchmarks.guards.policies import UNNAMED
from benchmarks.guards.scripts import QUESTIONS, in_script
from benchmarks.probes.ask import user
from gateway.conversation import collect

PER_FAMILY = 240
"""Requests of a family, where there are so many questions."""
SHOWN = 240
"""Characters of a text that results show."""
UNREADABLE = frozenset(LISTED_CODES)
"""Families of which results show the question instead."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Requests that must be recognised, and how many were dropped by family because a fit saw eight of their words."""

    cases: tuple[Case, ...]
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Draft:
    """A request as a client would send it; `item` is what it was made from, None for a harmless one."""

    item: Item | None
    family: str
    kind: Class
    messages: Sequence[Message]


def attacks(
    items: Sequence[Item], described: Iterable[tuple[str, Item]], padding: Padding, per_family: int
) -> list[Draft]:
    """Every question as it is, every family of classes A and B over a fixed draw of those with a name, and class C."""
    drafts = [Draft(item, item.form, _class(item), [user(item.text)]) for item in items]
    for group in dict.fromkeys(item.group for item in items if _class(item) == "A"):
        named = drawn([item for item in items if item.group == group and item.name], per_family)
        for family, make in families(padding).items():
            for item in named:
                made = make(item, random.Random(f"{family}/{item.id}"))
                if made is not None:
                    drafts.append(Draft(item, family, "A", [user(made)] if isinstance(made, str) else made))
        drafts += _scripts(named)
    drafts += [Draft(item, family, "C", [user(item.text)]) for family, item in described]
    return drafts


def harmless(kind: str, texts: Iterable[str]) -> list[Draft]:
    """Requests that must pass."""
    return [Draft(None, kind, "harmless", [user(text)]) for text in texts]


def suite(drafts: Sequence[Draft], seen: Seen, known: Mapping[str, str]) -> Suite:
    """Read the drafts as the gateway does; what shares eight words in a row with a fitting text is dropped.

    `known` says where a question stands in a public set; results then show that in its place.
    """
    dropped: Counter[str] = Counter()
    cases = []
    for case in asyncio.run(_read(drafts, known)):
        if seen.shares(case.text):
            dropped[f"{case.group}/{case.family}" if case.group else case.family] += 1
        else:
            cases.append(case)
    return Suite(tuple(cases), dict(dropped))


def drawn(items: Sequence[Item], count: int) -> list[Item]:
    """So many items, the clusters in turn."""
    by_cluster: dict[str, list[Item]] = {}
    for item in items:
        by_cluster.setdefault(item.cluster, []).append(item)
    for listed in by_cluster.values():
        random.Random(f"items/{listed[0].cluster}").shuffle(listed)
    most = max(map(len, by_cluster.values()), default=0)
    return [listed[i] for i in range(most) for listed in by_cluster.values() if i < len(listed)][:count]


def _scripts(named: Sequence[Item]) -> list[Draft]:
    by_cluster: dict[str, list[Item]] = {}
    for item in named:
        if item.cluster:
            by_cluster.setdefault(item.cluster, []).append(item)
    return [
        Draft(item, language, "B", [user(text)])
        for language in QUESTIONS
        for listed in by_cluster.values()
        for item, text in in_script(language, listed)
    ]


def _class(item: Item) -> Class:
    if item.group == "knowundo":
        return "facts"
    return "C" if item.form in UNNAMED else "A"


async def _read(drafts: Sequence[Draft], known: Mapping[str, str]) -> list[Case]:
    async def no_ids(_: list[int]) -> str:
        raise ValueError("no request of this benchmark is made of token ids")

    cases = []
    for draft in drafts:
        found = await collect({"messages": list(draft.messages)}, no_ids)
        item = draft.item
        text = "\n".join(part.text for part in found.parts)
        base = item.text if item else text
        short = known.get(base) or (base if draft.family in UNREADABLE or draft.family.startswith("padding") else "")
        cases.append(
            Case(
                item=item.id if item else "",
                group=item.group if item else "",
                policy=item.policy if item else "",
                cluster=item.cluster if item else "",
                family=draft.family,
                kind=draft.kind,
                name=(item.alias if draft.family == "alias" else item.name) if item else "",
                text=text,
                shown=f"{short}, as {draft.family}" if short else text[:SHOWN],
                parts=tuple(found.parts),
            )
        )
    return cases
