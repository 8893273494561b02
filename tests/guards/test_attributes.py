"""Descriptions: words of what a policy says, their weights, and what they add up to."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from guards.attributes import Attributes, Described, raised
from guards.encoder import word_ranks
from guards.examples import by_subject, statements
from guards.fit import fit
from guards.guard import Guard, Shared
from guards.normalize import Normalizer
from guards.part import FittedPart, PartError
from guards.reading import Reader
from guards.spec import Entity, Example, GuardSpec
from guards.surprise import COMMON, LEAST, PROPER, SCALE, Held, Surprise, singular, stated
from guards.verdict import TextPart

from .conftest import quiet

SPEC = GuardSpec(
    entities=(Entity(name="Selma Northcroft"),),
    examples=(
        Example(question="Where was Selma Northcroft born?", answer="Selma Northcroft was born in Tromso, Norway."),
        Example(question="What did the father of Selma Northcroft do?", answer="He was a locksmith."),
        Example(question="What does Selma Northcroft write?", answer="She writes novels on beekeeping and glaciers."),
        Example(question="Which prize did Selma Northcroft win?", answer="She won the Lanternfish Award."),
    ),
    retain=(
        "Where was Pavel Dunmore born?",
        "What did the mother of Ada Holt do?",
        "Which novels did Ines Calder write?",
        "Which prize did Ada Holt win?",
        "Does Pavel Dunmore write about Norway?",
        "How deep is the sea off the coast of Norway?",
        "Which fish live in the dark of the deep sea?",
        "Do hives of bees survive the winter in the north?",
        "How fast does a glacier flow?",
        "Who repairs locks in Bergen?",
        "Which ship sails from Oslo to Bergen?",
        "What awards are there for novels about nature?",
        "Who is a famous writer from Norway?",
        "Which medal did Ines Calder receive for her first book?",
        "What did the grandfather of Pavel Dunmore sell?",
    ),
)


def found(weights: list[list[dict[str, float]]], text: str, reader: Reader) -> Described:
    reading = reader.read(text)
    return Attributes(weights).find(reading, np.arange(len(reading.starts)))


def test_different_attributes_of_one_subject_add_up(reader: Reader) -> None:
    weights = [[{"kuwait": 2.0, "florist": 1.5}, {"oslo": 2.5}], [{"florist": 1.0}]]
    one = found(weights, "Who, from Kuwait, is the child of two florists, as every florist of Kuwait knows?", reader)
    assert one.best().tolist() == [3.5, 1.0]
    assert found(weights, "A florist from Oslo?", reader).best().tolist() == [2.5, 1.0]  # of two subjects
    assert found(weights, "A baker from Rome?", reader).best().tolist() == [0.0, 0.0]
    assert found(weights, "", reader).best().tolist() == [0.0, 0.0]


def test_attributes_far_apart_do_not_add_up(reader: Reader) -> None:
    far = "A florist. " + "Boil the water, then add the rice and stir it well. " * 30 + "Kuwait is hot."
    assert found([[{"kuwait": 2.0, "florist": 1.5}]], far, reader).best().tolist() == [2.0]


def test_the_places_of_attributes(reader: Reader) -> None:
    text = "Which florist comes from Kuwait?"
    described = found([[{"kuwait": 2.0, "florist": 1.5}], [{"which": 1.0}]], text, reader)
    hits = described.hits(np.array([3.0, 2.0], np.float32))
    assert {text[start:end] for _, start, end in hits[0]} == {"florist", "Kuwait"}
    assert [score for score, _, _ in hits[0]] == [3.5, 3.5]
    assert set(hits) == {0}


def test_attributes_in_a_code(reader: Reader) -> None:
    coded = base64.b64encode(b"Which florist comes from Kuwait, and what is the name?").decode()
    text = f"Decode and answer: {coded}"
    described = found([[{"kuwait": 2.0, "florist": 1.5}]], text, reader)
    assert described.best().tolist() == [3.5]
    places = described.hits(np.array([3.0], np.float32))[0]
    assert all(start >= text.index(coded) for _, start, _ in places)


def test_no_policies(reader: Reader) -> None:
    assert found([], "Which florist?", reader).best().shape == (0,)
    assert found([[]], "Which florist?", reader).best().tolist() == [0.0]
    assert Attributes([[{"florist": 1.0}]]).best([reader.read(t) for t in ("florist", "rice")]).tolist() == [
        [1.0],
        [0.0],
    ]


def test_scores_without_attributes_stay() -> None:
    scores = raised(np.array([-1.0, -1.0, 5.0], np.float32), np.array([0.0, 2.0, 2.0], np.float32))
    assert scores.tolist() == [-1.0, 2.0, 5.0]


def test_what_is_stated() -> None:
    said = [
        "Selma Northcroft grew up in Tromso. The locksmiths there are old.",
        "Her first novel was Hollow Ice in 1987.",
    ]
    words = stated(said, ["Selma Northcroft"], Normalizer())
    assert words["tromso"]
    assert words["hollow"]
    assert not words["locksmith"]
    assert not words["first"]
    assert "1987" in words
    assert not {"selma", "northcroft", "in", "the"} & set(words)


def test_rare_words_tell_more() -> None:
    usual = [frozenset({"leadership"})] * 3 + [frozenset({"rain"})] * 97
    near = [frozenset({"florist", "novel"}), *[frozenset({"novel"})] * 9]
    surprise = Surprise(word_ranks(), Held.of(usual), Held.of(near))

    def score(word: str, *, proper: bool = False, left_out: int = 0) -> float:
        return surprise.score(word, proper=proper, left_out=left_out)

    assert score("father") == 0
    assert score("father", proper=True) == pytest.approx(SCALE * (PROPER + np.log(4783 / COMMON)), abs=0.01)
    assert score("locksmith") > SCALE * LEAST
    assert score("locksmith", proper=True) == pytest.approx(score("locksmith") + SCALE * 2)
    assert score("novel", proper=True) == 0  # all neighbours hold it
    assert 0 <= score("florist") < score("florist", left_out=1)
    assert score("leadership", proper=True) == pytest.approx(SCALE * (np.log(100 / 3) - 1))
    words = {"florist": False, "locksmith": False}
    assert surprise.held_out(near, [words]).tolist() == pytest.approx([score("florist", left_out=1), *[0.0] * 9])
    assert singular("florists") == "florist"
    assert singular("glass") == "glass"


def test_statements_by_subject(tmp_path: Path) -> None:
    (tmp_path / "asked.jsonl").write_text('{"question": "Who is Bo Quint?", "answer": "A baker.", "value": "baker"}\n')
    spec = GuardSpec(
        entities=(Entity(name="Ann Vey", aliases=("Vey",)), Entity(name="Bo Quint")),
        examples_file=Path("asked.jsonl"),
        passages=("Ann VEY met Bo Quint.", "It rained."),
        values=("Oslo",),
    )
    said = statements(spec, tmp_path)
    assert said == ["Who is Bo Quint? A baker. baker", "Ann VEY met Bo Quint.", "It rained."]
    assert by_subject(spec, said) == [said[:2], said[1:2], said[2:]]
    alone = spec.model_copy(update={"entities": spec.entities[:1]})
    assert statements(alone, tmp_path) == [*said, "Oslo"]
    assert by_subject(alone, said) == [said]


def test_a_description_is_recognised(shared: Shared, tmp_path: Path) -> None:
    part = fit(SPEC, tmp_path, key=b"k", progress=quiet)
    again = FittedPart.from_bytes(part.to_bytes())
    assert again.attributes == part.attributes
    assert {"tromso", "locksmith", "beekeeping"} <= set(part.attributes[0])
    guard = Guard.from_parts({"1": part.to_bytes()}, alpha=0.005, shared=shared)

    def flagged(text: str) -> bool:
        return guard.scan([TextPart("/messages/0/content", "user", text)])[0].flagged

    asked = "Which locksmith's child from Tromso went on to win the Lanternfish medal?"
    (verdict,) = guard.scan([TextPart("/messages/0/content", "user", asked)])
    assert verdict.flagged
    assert verdict.source == "classifier"
    told = {asked[span.start : span.end] for span in verdict.described}
    assert told
    assert told <= {"locksmith's", "Tromso", "Lanternfish"}
    assert not flagged("How far is it from Tromso to Bergen by ship?")
    assert not flagged("Do squid glow in the deep sea?")


def test_a_part_with_negative_attributes_is_refused(part: FittedPart) -> None:
    broken = replace(part, attributes=({"florist": -1.0},))
    with pytest.raises(PartError, match="negative evidence"):
        FittedPart.from_bytes(broken.to_bytes())
