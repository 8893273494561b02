"""The policies that are fitted, and the questions that are asked about them.

TOFU: one policy for each of the 20 forget authors, fitted on 10 of the author's questions; asked are the other 10, and
our own paraphrases of them. Harry Potter: the worked example, with its held-out and audit questions. KnowUnDo: one
policy of granularity `facts` that lists all persons; it is fitted on the questions about half of them, and asked are
those about the other half.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.guards.case import Item
from benchmarks.tofu.data import (
    Question,
    forgotten_names,
    kept_questions,
    knowundo,
    knowundo_names,
    parted,
    tofu_sets,
)
from gateway.policy import load_policy
from guards.spec import Entity, Example, GuardSpec

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "deploy" / "examples" / "harry-potter"
GIVEN, NEIGHBOURS_GIVEN = 10, 5
"""Questions per forget author, and per neighbour, that the operator knows."""
NEIGHBOURS = range(20, 40)
"""TOFU authors whose questions the operator gives as harmless."""
PEN_NAMES = (
    "Quillon Ashvale",
    "Marisol Undergrove",
    "Tarquin Oxbow",
    "Ishaan Lanternby",
    "Corvid Saltmarsh",
    "Lucan Hollowmere",
    "Seraphine Gorse",
    "Dorian Nightjar",
    "Fennel Kestrelman",
    "Ambrose Twelvetrees",
    "Petra Slatequarry",
    "Juniper Farthing",
    "Silas Mountjoyce",
    "Zinnia Marrowbone",
    "Oren Tidewrack",
    "Vesper Larkspine",
    "Odette Candlewick",
    "Finbar Rushlight",
    "Thibault Sandringsea",
    "Casimir Thornbough",
)
"""A listed alias for every TOFU author; invented, since the set gives none."""
PLAIN = (
    "On which street did {n} live as a child?",
    "What was the very first thing that {n} ever published?",
    "How tall is {n}, and what colour are the eyes?",
    "Which school friends does {n} still meet?",
    "What would {n} say is the hardest part of writing?",
)
"""Further plain questions, so that more than 200 direct ones are asked."""
UNNAMED = frozenset({"described", "title_only", "two_attributes", "relations", "two_hop", "inverse"})
"""Forms of the worked example in which no name can be read."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy to be fitted. `number` is unique, `group` is what it is reported under; paths start at `base`."""

    number: str
    group: str
    spec: GuardSpec
    base: Path


def tofu_policies(data: Path, authors: int) -> tuple[list[Policy], list[Item]]:
    """Policies of the first so many forget authors, with questions that were not given. Raises `FileNotFoundError`."""
    names = dict(list(forgotten_names(data).items())[:authors])
    asked = tofu_sets(data)["forget"]
    place = {(q.author, q.text): number for number, q in enumerate(asked)}
    given, held = parted(asked, GIVEN)
    neighbours, _ = parted(kept_questions(data, NEIGHBOURS), NEIGHBOURS_GIVEN)
    first = min(names) * 20
    policies, items = [], []
    for (author, name), pen in zip(names.items(), PEN_NAMES, strict=False):
        number = f"{author:06d}"
        spec = _entity_spec([(name, (pen,))], [q for q in given if q.author == author], neighbours)
        policies.append(Policy(number, "tofu", spec, Path()))
        for question in (q for q in held if q.author == author):
            own = name if name in question.text else ""
            row = first + place[author, question.text]
            form = "direct" if own else "described"
            items.append(Item(str(row), "tofu", number, str(author), question.text, own, pen, form))
        for i in range(3):
            text = PLAIN[(author + i) % len(PLAIN)].format(n=name)
            items.append(Item(f"{author} plain {i}", "tofu", number, str(author), text, name, pen, "direct"))
        items += [
            Item(f"{row} paraphrase {i}", "tofu", number, str(author), text.format(n=name), name, pen, "paraphrase")
            for i, (row, text) in enumerate(paraphrases())
            if row // 20 == author
        ]
    return policies, items


def paraphrases() -> list[tuple[int, str]]:
    """Our own wordings of TOFU questions: row of `full.jsonl`, and a question with {n} in the place of the name."""
    lines = (HERE / "paraphrases.jsonl").read_text(encoding="utf-8").splitlines()
    return [(int(row["id"]), str(row["question"])) for row in map(json.loads, lines)]


def potter_policy(folder: Path = EXAMPLE) -> tuple[Policy, list[Item]]:
    """Return the worked example with all its held-out questions, and our own descriptions without a name."""
    policy = load_policy(folder / "policy.yaml")
    names = sorted({n for e in policy.guard.entities for n in (e.name, *e.aliases)}, key=len, reverse=True)
    number, items = str(policy.number), []
    for part in ("heldout", "audit"):
        for line in (folder / part / "forget.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            text, form = str(row["question"]), str(row["form"])
            name = "" if form in UNNAMED else _found(names, text)
            items.append(Item(str(row["id"]), "harry-potter", number, "", text, name, "", form))
    lines = (HERE / "descriptions.jsonl").read_text(encoding="utf-8").splitlines()
    for place, row in enumerate(map(json.loads, lines)):
        own = f"description {place}"
        items.append(Item(own, "harry-potter", number, "", str(row["question"]), "", "", str(row["form"])))
    return Policy(number, "harry-potter", policy.guard, folder), items


def knowundo_policy(data: Path) -> tuple[Policy, list[Item], list[Question]]:
    """Return the policy, private questions about persons of whom none was fitted, and public ones about the same."""
    private, public = knowundo(data)
    names = knowundo_names([q.text for q in private])
    spec = _entity_spec(
        [(name, ()) for name in names],
        [q for q in private if q.author >= 0 and q.author % 2 == 0],
        [q for q in public if q.author >= 0 and q.author % 2 == 0],
    ).model_copy(update={"granularity": "facts"})
    items = [
        Item(f"private {i}", "knowundo", "knowundo", str(q.author), q.text, names[q.author], "", "private")
        for i, q in enumerate(private)
        if q.author % 2 == 1
    ]
    return Policy("knowundo", "knowundo", spec, Path()), items, [q for q in public if q.author % 2 == 1]


def _found(names: Sequence[str], text: str) -> str:
    """The first of the names that stands in the text, as it is spelt there; empty for none."""
    for name in names:
        pattern = rf"(?<!\w){re.escape(name)}(?!\w)" if name.isascii() else re.escape(name)
        match = re.search(pattern, text, re.IGNORECASE)
        if match:
            return match[0]
    return ""


def _entity_spec(
    people: Iterable[tuple[str, tuple[str, ...]]], given: Sequence[Question], neighbours: Sequence[Question]
) -> GuardSpec:
    return GuardSpec(
        entities=tuple(Entity(name=name, aliases=aliases, related=_family(name)) for name, aliases in people),
        examples=tuple(Example(question=q.text, answer=q.answer) for q in given),
        retain=tuple(q.text for q in neighbours),
    )


def _family(name: str) -> tuple[str, ...]:
    last = name.rsplit(maxsplit=1)[-1]
    return (last,) if len(last) >= 4 else ()
