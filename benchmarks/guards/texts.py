"""Everything that is asked, made before anything is fitted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.guards.case import Case, Item
from benchmarks.guards.described import described
from benchmarks.guards.families import Padding
from benchmarks.guards.general import Document, General, general
from benchmarks.guards.neighbours import potter_neighbours, public_facts, tofu_neighbours
from benchmarks.guards.overlap import Seen
from benchmarks.guards.policies import Policy, knowundo_policy, potter_policy, tofu_policies
from benchmarks.guards.references import references
from benchmarks.guards.sizes import Sizes, Sources
from benchmarks.guards.suite import Suite, attacks, harmless, suite
from benchmarks.tofu.data import tofu_sets
from guards.guard import Shared

PADDING_WORDS = 60_000
"""Words of harmless text that paddings are cut from."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Everything that is asked."""

    attacks: Suite
    near: Mapping[str, Sequence[Case]]
    general: Sequence[General]
    usual: Sequence[Case]
    padding: Padding
    dropped: Mapping[str, int]

    def digest(self) -> str:
        """SHA-256 of all texts, in order."""
        digest = hashlib.sha256()
        for case in (*self.attacks.cases, *(c for cases in self.near.values() for c in cases), *self.usual):
            digest.update(f"{case.policy}\0{case.family}\0{case.text}\0".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def policies_of(data: Path, sizes: Sizes) -> tuple[list[Policy], list[Item], dict[str, Mapping[str, list[str]]]]:
    """Policies, questions, and hard neighbours by group and kind. Raises `FileNotFoundError` for a missing set."""
    policies, items = tofu_policies(data / "tofu", sizes.authors)
    examples = [e.question for p in policies for e in p.spec.examples]
    near: dict[str, Mapping[str, list[str]]] = {"tofu": tofu_neighbours(data / "tofu", examples, sizes.near)}
    if sizes.others:
        potter, asked = potter_policy()
        facts, private, public = knowundo_policy(data / "knowundo_privacy")
        policies, items = [*policies, potter, facts], [*items, *asked, *private]
        near["knowundo"] = public_facts(public)
    return policies, items, near


def texts_of(
    sources: Sources,
    policies: Sequence[Policy],
    items: Sequence[Item],
    near: dict[str, Mapping[str, list[str]]],
    read: Sequence[Document],
    seen: Seen,
    shared: Shared,
    sizes: Sizes,
) -> Texts:
    """Make every request; `near` gets the kinds that are picked from general texts, and `seen` is what fits see."""
    known = {} if sources.texts else references(sources.data)
    subjects = [e for p in policies if p.spec.granularity == "entity" for e in p.spec.entities]
    names_ = [name for e in subjects for name in (e.name, *e.aliases)]
    forgotten = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in names_), re.IGNORECASE)

    def about(texts: Iterable[str]) -> bool:
        """Whether texts name a forgotten subject: they are no harmless ones then, wherever they come from."""
        return any(forgotten.search(text) for text in texts)

    filler: list[str] = []
    end, words = len(read), 0
    while end and words < PADDING_WORDS:
        end -= 1
        kept = [p for p in read[end].paragraphs if not seen.shares(p)]
        filler, words = filler + kept, words + sum(len(p.split()) for p in kept)
    padding = Padding.read(filler, shared.reader.encoder)
    sets, numbers = (
        tofu_sets(sources.data / "tofu")["forget"],
        {i.cluster: i.policy for i in items if i.group == "tofu"},
    )
    rows = {author: [q for q in sets if str(q.author) == author] for author in numbers}
    names = {i.cluster: i.name for i in items if i.group == "tofu" and i.name}
    asked = suite(attacks(items, described(rows, names, numbers), padding, sizes.per_family), seen, known)
    others = [d for d in read[:end] if not about(d.paragraphs)]
    usual = general(others, seen, sizes.each)
    potter = [p for p in policies if p.group == "harry-potter"]
    if potter:
        short = [t.text for t in usual if t.stratum == "under 25 words"]
        near["harry-potter"] = potter_neighbours(short, potter[0].spec, sizes.near // 2)
    nearby = {
        group: suite(
            [d for kind, texts in kinds.items() for d in harmless(kind, (t for t in texts if not about([t])))],
            seen,
            known,
        )
        for group, kinds in near.items()
    }
    dropped = {**asked.dropped, "general documents that name a subject": end - len(others)}
    for group, cases in nearby.items():
        dropped |= {f"{group}/{kind}": count for kind, count in cases.dropped.items()}
    return Texts(
        attacks=asked,
        near={group: cases.cases for group, cases in nearby.items()},
        general=usual,
        usual=suite(harmless("general", (t.text for t in usual)), Seen(), known).cases,
        padding=padding,
        dropped=dropped,
    )
