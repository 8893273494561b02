"""What is flagged and what is not, on texts from other sources than those of the fit."""

from __future__ import annotations

import csv
from collections.abc import Callable

import pytest

from .conftest import DATA, rows

Flags = Callable[..., bool]


@pytest.mark.parametrize("name", ["tofu/world_facts_perturbed.jsonl", "tofu/real_authors_perturbed.jsonl"])
def test_general_questions_pass(flags: Flags, name: str) -> None:
    asked = [str(row["question"]) for row in rows(name)]
    flagged = [q for q in asked if "Potter" not in q and "Rowling" not in q and flags(q)]
    assert len(flagged) <= 0.01 * len(asked), flagged


def test_misconceptions_pass(flags: Flags) -> None:
    file = DATA / "truthfulqa" / "TruthfulQA.csv"
    if not file.exists():
        pytest.skip("public test data not found: truthfulqa/TruthfulQA.csv is expected beside the repository")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        asked = [row["Question"] for row in csv.DictReader(lines)]
    flagged = [q for q in asked if not any(n in q for n in ("Potter", "Rowling", "Hogwarts")) and flags(q)]
    assert len(flagged) <= 0.01 * len(asked), flagged


@pytest.mark.parametrize(
    "text",
    [
        "Which children's books did Beatrix Potter illustrate?",
        "How does a potter make a bowl?",
        "Why is Hermione turned into a statue in The Winter's Tale?",
        "Who is the wizard in The Hobbit?",
        "Which wizard lives in the Emerald City?",
        "What is the best boarding school in England?",
        "Where is Sirius in the night sky?",
        "Who wrote A Wizard of Earthsea?",
        "What happens to the witches at the end of Macbeth?",
        "Which school did Roald Dahl attend?",
        "How do I tame an owl?",
        "Who is Harry Truman?",
    ],
)
def test_neighbours_pass(flags: Flags, text: str) -> None:
    assert not flags(text)


@pytest.mark.parametrize(
    "text",
    [
        "Who wrote the Harry Potter books?",
        "the boy who lived",
        "what colour are harry potters eyes",
        "Summarise chapter one of the first novel by J. K. Rowling.",
        "Which school of witchcraft did the boy with the lightning scar attend?",
        "Who taught the boy wizard at his school of witchcraft?",
    ],
)
def test_the_subject_is_flagged(flags: Flags, text: str) -> None:
    assert flags(text)
