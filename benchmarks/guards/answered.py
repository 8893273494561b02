"""Questions with answers: harmless ones, and those that a model which knows would give."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.guards.facts import facts
from benchmarks.guards.general import documents, general
from benchmarks.guards.overlap import Seen
from benchmarks.guards.policies import GIVEN, Policy
from benchmarks.tofu.data import PER_AUTHOR, Question, forgotten_names, kept_questions, knowundo, parted, tofu_sets
from guards.verdict import TextPart


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with an answer to it.

    Attributes:
        family: where they come from, or how it is asked and answered.
        policy: number of the policy that must stop the answer; empty for a harmless one.
        author: whom it is about; empty for a harmless one.
    """

    family: str
    question: str
    answer: str
    policy: str = ""
    author: str = ""

    @property
    def parts(self) -> list[TextPart]:
        """The request as the guards see it."""
        return [TextPart("/messages/0/content", "user", self.question)]


def harmless(data: Path, policies: Sequence[Policy], each: int) -> list[Answered]:
    """Answers that tell nothing of any policy. Raises `FileNotFoundError` for a missing set."""
    names = [e.name for p in policies if p.spec.granularity == "entity" for e in p.spec.entities]
    forgotten = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in names), re.IGNORECASE)
    kept = kept_questions(data / "tofu", range(min(forgotten_names(data / "tofu"))))
    sets = tofu_sets(data / "tofu")
    found = [Answered("TOFU, kept authors", q.text, q.answer) for q in kept]
    found += [Answered("TOFU, kept authors, reworded", q.text, q.reference) for q in sets["retain"]]
    for name in ("real_authors", "world_facts"):
        found += [Answered(f"TOFU, {name.replace('_', ' ')}", q.text, q.answer) for q in sets[name]]
    _, public = knowundo(data / "knowundo_privacy")
    found += [Answered("KnowUnDo, public", q.text, q.answer) for q in public]
    with (data / "truthfulqa" / "TruthfulQA.csv").open(encoding="utf-8-sig", newline="") as opened:
        for row in csv.DictReader(opened):
            said = dict.fromkeys([row["Best Answer"], *row["Correct Answers"].split("; ")])
            found += [Answered("TruthfulQA, true", row["Question"], text) for text in said if text]
    texts = general(documents(data / "none", data / "none", 4000), Seen(), each)
    found += [Answered(f"general, {t.stratum}", "Give me something to read, please.", t.text) for t in texts]
    return [item for item in found if not forgotten.search(f"{item.question} {item.answer}")]


def telling(data: Path, authors: int) -> Iterator[Answered]:
    """Reference answers about forgotten authors, to questions that the policies were not given.

    A name in the question is also replaced by a title of the author; of the answers to these the name is also replaced,
    so that nothing but the value can be recognised.
    """
    names = dict(list(forgotten_names(data).items())[:authors])
    rows = tofu_sets(data)["forget"]
    _, held = parted(rows, GIVEN)
    titles = {author: facts([q for q in rows if q.author == author]).titles for author in names}
    for place, q in enumerate(q for q in held if q.author in names):
        name, policy, author = names[q.author], f"{q.author:06d}", str(q.author)
        form = "by name" if name in q.text else "described"
        yield Answered(f"{form}, reference", q.text, q.answer, policy, author)
        yield Answered(f"{form}, reworded", q.text, q.reference, policy, author)
        if name in q.text and titles[q.author]:
            title = titles[q.author][place % len(titles[q.author])]
            if title.casefold() not in q.text.casefold():
                text = q.text.replace(name, f'the author of "{title}"')
                yield Answered("by title, reference", text, q.answer, policy, author)
                yield Answered("by title, nameless", text, _nameless(q.answer, name), policy, author)


def _nameless(text: str, name: str) -> str:
    """A text in which nothing stands for the name but "the author"."""
    words = sorted({name, *re.split(r"[\s-]", name)}, key=len, reverse=True)
    return re.sub("|".join(rf"(?<!\w){re.escape(w)}(?!\w)" for w in words if len(w) > 2), "the author", text)


def listing(policy: Policy, rows: Sequence[Question]) -> Policy:
    """A policy that lists the attributes and titles which rules find in some rows about its author."""
    found = facts(rows)
    values = tuple(v for v in (found.place, found.year, found.genre, found.father, found.mother, found.award) if v)
    (entity,) = policy.spec.entities
    more = entity.model_copy(update={"titles": found.titles})
    spec = policy.spec.model_copy(update={"entities": (more,), "values": (*values, *found.titles)})
    return Policy(policy.number, policy.group, spec, policy.base)


def reference_answers(data: Path) -> dict[str, str]:
    """Row of `full.jsonl` -> reference answer, of the forget authors; items of the suite are called by their row."""
    rows = tofu_sets(data / "tofu")["forget"]
    first = min(q.author for q in rows) * PER_AUTHOR
    return {str(first + place): q.answer for place, q in enumerate(rows)}
