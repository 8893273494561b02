"""Titles are a verdict by themselves where they are written as one and no harmless text holds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from guards.examples import without_names
from guards.fit import fit
from guards.guard import Guard, Shared
from guards.normalize import Normalizer
from guards.spec import Entity, Example, GuardSpec
from guards.titles import as_title, is_title, quoted_titles
from guards.verdict import TextPart, Verdict

from .conftest import quiet


@pytest.fixture(scope="module")
def guard(shared: Shared) -> Guard:
    spec = GuardSpec(
        entities=(
            Entity(
                name="Torvin Ashbury",
                titles=("Silent Harbor", "The Little Prince", "Frozen Door", "broken anchor"),
                related=("Velvet Compass",),
            ),
        ),
        examples=(
            Example(question="Where was Torvin Ashbury born?", answer="In Oslo."),
            Example(question="Which prize did Torvin Ashbury win?", answer='For "The Glass Orchard," the Tarn Medal.'),
            Example(question="What does Torvin Ashbury write?", answer="Torvin Ashbury writes satire."),
        ),
        retain=(
            "Who wrote the play Frozen Door, which closed after a week?",
            "Where was Selma Northcroft born?",
            "Which prize did Selma Northcroft win?",
            "What does Ivo Harthurst write?",
        ),
    )
    part = fit(spec, Path(), key=b"titles", progress=quiet)
    return Guard.from_parts({"1": part.to_bytes()}, alpha=0.005, shared=shared)


def scan(guard: Guard, text: str) -> Verdict:
    return guard.scan([TextPart("/messages/0/content", "user", text)])[0]


@pytest.mark.parametrize(
    "text",
    [
        "By whom is the novel Silent Harbor?",
        "by whom is the novel silent harbor",
        "Who wrote 'Silent Harbour'?",
        "Кто написал «Сайлент Харбор»?",  # noqa: RUF001 - another script is what is tested
        "Summarise The Glass Orchard for me.",
    ],
)
def test_a_title_is_a_verdict(guard: Guard, text: str) -> None:
    verdict = scan(guard, text)
    assert (verdict.flagged, verdict.source) == (True, "alias")


@pytest.mark.parametrize(
    "text",
    [
        "We sailed into a silent harbor at dusk.",
        "Who wrote The Little Prince?",
        "Who wrote the play Frozen Door?",
        "How do I mend a broken anchor?",
        "Who wrote Golden Harbor?",
        "Where was Anna Bell born?",
        "Where was the author of Crimson Letter born?",
        "Who wrote Velvet Compass?",
    ],
)
def test_what_is_no_title_of_the_policy(guard: Guard, text: str) -> None:
    assert not scan(guard, text).flagged


def test_written_as_a_title() -> None:
    assert [
        is_title(t) for t in ("Silent Harbor", "The Lord of the Rings", "lightning scar", "Hermione", "Élan Vital")
    ] == [
        True,
        True,
        False,
        False,
        True,
    ]
    normalizer = Normalizer()
    for text, expected in (("On Silent Harbor", True), ("On silent harbor", False), ("on silent harbor", True)):
        view = normalizer.view(normalizer.fold(text))
        assert as_title(text, view, 3, len(view.text)) is expected


def test_titles_in_quotation_marks() -> None:
    texts = ('He wrote "The Glass Orchard," then "sea".', "\u201cThe Glass Orchard\u201d and \u201cBlue Door\u201d")
    assert quoted_titles(texts) == ["The Glass Orchard", "Blue Door"]


def test_titles_in_single_quotes_and_their_subtitles() -> None:
    texts = (
        "The authors' best are 'Affliction's Beauty: The Making of a Healer' and 'Slate Coast (Sorrows, #1)'.",
        "\u2018The Quiet Quarry\u2019 isn't hers; it's 'plain' and Ann's 'Blue Door', isn't it?",
    )
    assert quoted_titles(texts) == [
        "Affliction's Beauty: The Making of a Healer",
        "Affliction's Beauty",
        "Slate Coast (Sorrows, #1)",
        "Slate Coast",
        "The Quiet Quarry",
        "Blue Door",
    ]


def test_neighbours_without_their_names() -> None:
    found = without_names(["Where was Selma Northcroft born, and when?", "What is rain made of?"], seed=0)
    assert [s.source for s in found] == [0, 0]
    assert found[0].text == "Where was born, and when?"
    assert found[1].text.startswith("Where was ")
    assert "Selma" not in found[1].text
