"""Harmless texts that look like what must be forgotten, by kind.

Half of them and more are picked by TF-IDF, which shares nothing with the guard's encoder, and before any fit.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.guards.policies import EXAMPLE, HERE, NEIGHBOURS
from benchmarks.tofu.data import Question, kept_questions, tofu_sets
from guards.spec import GuardSpec

AUTHORS, FORGOTTEN = 200, 20
ABOUT = (
    "What is {n} best remembered for?",
    "When was {n} born, and where?",
    "Give me three facts on the life of {n}.",
    "Who influenced {n} the most?",
)
"""Questions about people who share a name with somebody to be forgotten."""


def tofu_neighbours(data: Path, examples: Sequence[str], each: int) -> Mapping[str, list[str]]:
    """Harmless texts by kind, for the policies about TOFU authors.

    Args:
        examples: what the policies are fitted on; `nearest` is measured to these.
        each: texts of a kind that has so many.
    """
    topic = [q.text for q in kept_questions(data, range(AUTHORS - FORGOTTEN)) if q.author not in NEIGHBOURS]
    picked = nearest(topic, examples, each)
    rest = sorted(set(topic) - set(picked))
    sets = tofu_sets(data)
    return {
        "same topic, nearest by TF-IDF": picked,
        "same topic, drawn": random.Random("same topic").sample(rest, min(each, len(rest))),
        "same name, other person": namesakes(),
        "real authors": [q.text for q in sets["real_authors"]],
        "world facts": [q.text for q in sets["world_facts"]],
    }


def namesakes() -> list[str]:
    """Questions about real people who share a first name or a surname with a TOFU author."""
    people: Mapping[str, list[str]] = json.loads((HERE / "namesakes.json").read_text(encoding="utf-8"))
    return [about.format(n=name) for names in people.values() for name in names for about in ABOUT]


def potter_neighbours(general: Sequence[str], spec: GuardSpec, each: int) -> Mapping[str, list[str]]:
    """Harmless texts by kind, for the worked example; `general` is where the nearest ones are picked from."""
    rows = [
        json.loads(line)
        for part in ("heldout", "audit")
        for line in (EXAMPLE / part / "retain.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    asked = [row for row in rows if "question" in row and row["kind"] == "neighbour"]
    same = [row for row in asked if "called" in row["topic"] or "name" in row["topic"]]
    examples = [str(json.loads(line)["question"]) for line in _lines(spec)]
    return {
        "same name, other person": [str(row["question"]) for row in same],
        "same topic": [str(row["question"]) for row in asked if row not in same],
        "general, nearest by TF-IDF": nearest(general, examples, each),
    }


def public_facts(public: Sequence[Question]) -> Mapping[str, list[str]]:
    """KnowUnDo's public questions about persons whose private facts are to be forgotten."""
    return {"same person, public fact": [q.text for q in public]}


def nearest(pool: Sequence[str], to: Sequence[str], count: int) -> list[str]:
    """The texts with the largest TF-IDF cosine to any of `to`, nearest first."""
    vectors = TfidfVectorizer(sublinear_tf=True, stop_words=None).fit([*pool, *to])
    best = np.asarray((vectors.transform(pool) @ vectors.transform(to).T).max(axis=1).todense()).ravel()
    return [pool[i] for i in np.argsort(-best, kind="stable")[:count]]


def _lines(spec: GuardSpec) -> list[str]:
    if spec.examples_file is None:
        raise ValueError("the worked example names no examples_file; its policy is not the one that is expected here")
    return (EXAMPLE / spec.examples_file).read_text(encoding="utf-8").splitlines()
