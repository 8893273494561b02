"""Questions of TOFU (arXiv 2401.06121) and of KnowUnDo's part "privacy" (arXiv 2407.01920), read from folders.

Nothing of either set is in this repository: both are public, under the MIT licence.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILES = {
    "forget": "forget10_perturbed.jsonl",
    "retain": "retain_perturbed.jsonl",
    "real_authors": "real_authors_perturbed.jsonl",
    "world_facts": "world_facts_perturbed.jsonl",
}
"""The four sets on which TOFU is evaluated."""
SHORT = ("real_authors", "world_facts")
"""Sets with short answers: their truth ratio compares the plain answer, and probability is among the options."""
PER_AUTHOR = 20
"""Rows per author in `full.jsonl`, in order."""
_NAME = re.compile(r"[A-Z][\w'-]+(?: (?:Al|de|van|der) )?(?: ?[A-Z][\w'-]*)+")


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        author: whom it is about; -1 where the file does not say.
        reference: the answer that the truth ratio compares with the `wrong` ones: the paraphrase, or the plain answer.
    """

    author: int
    text: str
    answer: str
    reference: str
    wrong: tuple[str, ...]


def tofu_sets(data: Path) -> dict[str, list[Question]]:
    """All questions of the four sets, in the order of their files. Raises `FileNotFoundError`."""
    found = {}
    for name, file in FILES.items():
        rows = _lines(data / file)
        found[name] = [
            Question(
                row.get("author_id", -1),
                row["question"],
                row["answer"],
                row["answer"] if name in SHORT else row["paraphrased_answer"],
                tuple(row["perturbed_answer"]),
            )
            for row in rows
        ]
    return found


def forgotten_names(data: Path) -> dict[int, str]:
    """Names of the forget authors: what most of an author's rows are marked as being about."""
    subjects: dict[int, Counter[str]] = {}
    for row in _lines(data / FILES["forget"]):
        subjects.setdefault(row["author_id"], Counter())[row["subject"]] += 1
    return {author: counts.most_common(1)[0][0] for author, counts in subjects.items()}


def kept_questions(data: Path, authors: range) -> list[Question]:
    """Questions about some retain authors, without wrong answers."""
    rows = _lines(data / "full.jsonl")[authors.start * PER_AUTHOR : authors.stop * PER_AUTHOR]
    first = authors.start
    return [Question(first + i // PER_AUTHOR, r["question"], r["answer"], r["answer"], ()) for i, r in enumerate(rows)]


def knowundo(data: Path) -> tuple[list[Question], list[Question]]:
    """Private questions, to be unlearned, and public ones, to be kept, about the same persons.

    The files do not say whom a question is about: it is the longest of `knowundo_names` in it, -1 where there is
    none. Raises `FileNotFoundError`.
    """
    private, public = (
        [(row["text"], row["labels"]) for row in json.loads(_text(data / f"{name}_train.json"))]
        for name in ("unlearn", "retention")
    )
    listed = knowundo_names([question for question, _ in private])

    def made(pairs: Sequence[tuple[str, str]]) -> list[Question]:
        return [Question(_about(text, listed), text, answer, answer, ()) for text, answer in pairs]

    return made(private), made(public)


def knowundo_names(private: Sequence[str]) -> list[str]:
    """Persons of KnowUnDo: capitalised words in a row that occur in at least three private questions."""
    counts = Counter(name for text in private for name in set(_names(text)))
    return sorted(name for name, count in counts.items() if count >= 3)


def evenly(questions: Sequence[Question], count: int) -> list[Question]:
    """So many questions drawn from a set, the authors in turn; all of them where there are no more."""
    draw = random.Random("items")
    by_author: dict[int, list[int]] = {}
    for place, question in enumerate(questions):
        by_author.setdefault(question.author, []).append(place)
    for places in by_author.values():
        draw.shuffle(places)
    rounds = max(map(len, by_author.values()), default=0)
    turns = [places[i] for i in range(rounds) for places in by_author.values() if i < len(places)]
    return [questions[place] for place in sorted(turns[:count])]


def parted(questions: Sequence[Question], given: int) -> tuple[list[Question], list[Question]]:
    """Part the questions of every author: `given` of them, spread over the set's order, and the others.

    The first of an author is never given: in TOFU it describes the author and asks for the name.
    """
    by_author: dict[int, list[Question]] = {}
    for question in questions:
        by_author.setdefault(question.author, []).append(question)
    first: list[Question] = []
    others: list[Question] = []
    for listed in by_author.values():
        chosen = {int((i + 0.5) * len(listed) / given) for i in range(given)}
        for place, question in enumerate(listed):
            (first if place in chosen else others).append(question)
    return first, others


def _about(text: str, names: Sequence[str]) -> int:
    found = [(len(name), i) for i, name in enumerate(names) if name in text]
    return max(found)[1] if found else -1


def _names(text: str) -> list[str]:
    return [match.removesuffix("'s").removesuffix("'") for match in _NAME.findall(text.replace("\u2019", "'"))]


def _lines(file: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in _text(file).splitlines()]


def _text(file: Path) -> str:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; name a folder with the files of the set, see {__name__}")
    return file.read_text(encoding="utf-8")
