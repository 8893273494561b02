"""Objections to a forget request: what is refused, what is warned of, and what passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from guards.benign import Benign
from guards.calibrate import Corpus
from guards.fit import fit
from guards.guard import Guard, Shared
from guards.intake import (
    ENOUGH,
    FEWEST,
    ForgetRequest,
    IntakeError,
    Objection,
    alike,
    contradictions,
    few,
    kept_names,
    near_contradictions,
    refuse,
)
from guards.overlap import Other, covered, overlaps
from guards.part import FittedPart
from guards.reach import Reach, decided_by_names, indistinct
from guards.reading import Reader
from guards.seeding import holm, seeded, unusual
from guards.spec import Entity, Example, GuardSpec

from .conftest import quiet


def request(*texts: str, retained: tuple[str, ...] = (), **entity: tuple[str, ...]) -> ForgetRequest:
    return ForgetRequest(GuardSpec(entities=(Entity(name="Zorblax Quint", **entity),)), texts, retained)


def test_the_small_policy_passes(spec: GuardSpec, part: FittedPart, shared: Shared) -> None:
    asked = ForgetRequest.read(spec, Path())
    assert len(asked.texts) == 18
    normalizer = shared.reader.normalizer
    assert contradictions(asked, normalizer) == []
    assert near_contradictions(asked, shared.reader) == []
    assert kept_names(asked, normalizer) == []
    assert decided_by_names(part, shared) == []
    assert [o.level for o in few(asked)] == ["warn"]


def test_too_few_examples() -> None:
    assert [o.level for o in few(request(*"abcd"))] == ["refuse"]
    assert [o.level for o in few(request(*"a" * FEWEST))] == ["warn"]
    assert few(request(*"a" * ENOUGH)) == []


def test_only_refusals_are_raised() -> None:
    refuse([Objection("warn", "few", "not so many")])
    with pytest.raises(IntakeError, match="this\nand that"):
        refuse(
            [Objection("refuse", "few", t) for t in ("this", "and that")] + [Objection("warn", "few", "not so many")]
        )


def test_a_text_that_is_both_example_and_harmless(shared: Shared) -> None:
    asked = request("Who is he?", "Where does Zorblax  live?", retained=("A king.", "where does zorblax live"))
    (found,) = contradictions(asked, shared.reader.normalizer)
    assert found.level == "refuse"
    assert "1 and 1" in found.text
    assert "Zorblax" not in found.text
    assert found.shown == ("Where does Zorblax  live?",)
    assert near_contradictions(asked, shared.reader) == []  # said once is enough


def test_near_duplicates_need_the_same_names(reader: Reader) -> None:
    one = ("Which prize did Zorblax Quint win for his glass boats?",)
    assert alike(one, ("Which prize did Zorblax Quint win for the glass boats?",), ["Zorblax Quint"], reader) == [
        (0, 0)
    ]
    assert alike(one, ("Which prize did Anna Berg win for his glass boats?",), ["Zorblax Quint"], reader) == []
    assert alike(one, ("How do I cook rice?",), ["Zorblax Quint"], reader) == []
    assert alike(one, (), [], reader) == []


def test_harmless_texts_with_an_alias(shared: Shared) -> None:
    asked = request("Who is he?", retained=("He is nobody.", "ZORBLAX-QUINT sells tea."))
    (found,) = kept_names(asked, shared.reader.normalizer)
    assert (found.level, found.rule) == ("warn", "contradiction")
    assert "places 1." in found.text
    facts = replace(asked, spec=asked.spec.model_copy(update={"granularity": "facts"}))
    assert kept_names(facts, shared.reader.normalizer) == []


def test_holm() -> None:
    """Worked by hand: .01 * 3, .02 * 2, .04 * 1, made monotone; and the cap at 1."""
    assert holm(np.array([0.02, 0.04, 0.01])) == pytest.approx([0.04, 0.04, 0.03])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])


def test_words_seeded_into_the_examples(shared: Shared) -> None:
    """Every second harmless text holds the word `then`, no more than one in fifty holds `please`."""
    normalizer = shared.reader.normalizer
    harmless = [
        Benign(f"{'please ' * (i % 50 == 0)}{'then ' * (i % 2)}text number{i}", named=False) for i in range(400)
    ]
    plain = request(*(f"where is boat number{i}" for i in range(30)))
    assert unusual(plain, harmless, normalizer) == []
    attacked = replace(plain, texts=tuple(f"please {'then ' * (i % 2)}{t}" for i, t in enumerate(plain.texts)))
    (word,) = unusual(attacked, harmless, normalizer)
    assert (word.word, word.count, word.share) == ("please", 30, 1.0)
    assert word.usual == pytest.approx(9 / 402)
    assert not word.named
    named = request(*attacked.texts, aliases=("Please Quint",))
    assert [item.named for item in unusual(named, harmless, normalizer)] == [True]
    assert unusual(replace(attacked, retained=attacked.texts), harmless, normalizer) == []

    nothing = np.zeros(400, bool)
    (warned,) = seeded([word], harmless, nothing, 0.005, normalizer)
    assert warned.level == "warn"
    hit = nothing.copy()
    hit[[0, 50, 100]] = True
    (refused,) = seeded([word], harmless, hit, 0.005, normalizer)
    assert refused.level == "refuse"
    assert "flags 3 of 8 harmless texts" in refused.text
    assert "please" not in refused.text
    assert "'please': in 30 examples" in refused.shown[0]
    for milder in (replace(word, share=0.2), replace(word, named=True)):
        assert [o.level for o in seeded([milder], harmless, hit, 0.005, normalizer)] == ["warn"]


def test_the_share_of_harmless_texts() -> None:
    texts = tuple(Benign(f"text {i}", named=False) for i in range(1000))
    flagged = np.zeros(1000, bool)
    assert Reach(texts, flagged).broad(0.005) == []
    flagged[:5] = True
    assert Reach(texts, flagged).broad(0.005) == []
    flagged[:6] = True  # more, but it may be chance
    assert [o.level for o in Reach(texts, flagged).broad(0.005)] == ["warn"]
    flagged[:20] = True
    (found,) = Reach(texts, flagged).broad(0.005)
    assert found.level == "refuse"
    assert "flags 20 of 1000 harmless texts (2.00%, at least 1.33%" in found.text
    assert found.shown[0] == "0: text 0"


def test_reach_leaves_out_the_subject_itself(guard: Guard) -> None:
    texts = [Benign("Who wrote Harry Potter?", named=True), Benign("Who wrote Harry Potter?", named=False)]
    reach = Reach.of(guard, "104217", [*texts, Benign("How do I cook rice?", named=False)], quiet)
    assert reach.texts == (texts[1], Benign("How do I cook rice?", named=False))
    assert reach.flagged.tolist() == [True, False]


def test_related_names_that_are_ordinary_words(shared: Shared) -> None:
    entity = Entity(name="Zorblax Quint", related=("people", "time", "help", "best"))
    spec = GuardSpec(entities=(entity,), examples=(Example(question="Who is Zorblax Quint?"),))
    part = fit(spec, Path(), key=b"k", progress=quiet)
    (found,) = decided_by_names(part, shared)
    assert found.level == "refuse"
    assert "people" not in found.text
    assert any(line.endswith(": people") for line in found.shown)


ORDINARY = """How do I cook rice for my family? When is the best time to visit the city? How long does bread keep?
Could you write a poem about the sea? What is the difference between a list and a tuple? What do cats eat?
How do I write a function that sorts a list? What wine goes with fish? What does a nurse earn? How fast can a dog run?
How do I write to my landlord? How do I say good morning? What is the capital of that country? How do I clean a pan?
How do I undo the last commit? Where can a family go in June? What should I cook tonight? How do I test a function?
What is the weather like in spring? Do you know a recipe for soup?"""


def test_a_subject_that_is_everything(shared: Shared) -> None:
    asked = [f"{text.strip()}?" for text in ORDINARY.split("?") if text]
    spec = GuardSpec(entities=(Entity(name="Zorblax"),), examples=tuple(Example(question=text) for text in asked))
    part_of = Shared(shared.reader, Corpus.read(shared.reader, shared.corpus.texts[::4]))
    (found,) = indistinct(spec, Path(), {}, key=b"k", alpha=0.005, shared=part_of, progress=quiet)
    assert found.level == "refuse"
    assert "half of 10 questions" in found.text
    assert found.shown
    few_ = spec.model_copy(update={"examples": spec.examples[: ENOUGH - 1]})
    assert indistinct(few_, Path(), {}, key=b"k", alpha=0.005, shared=shared, progress=quiet) == []


def test_what_two_policies_share(reader: Reader) -> None:
    mine = request("Where was Zorblax Quint born?", retained=("Otto Kern builds bridges.",), aliases=("The Quint",))
    theirs = ForgetRequest(
        GuardSpec(entities=(Entity(name="Otto Kern", related=("the quint",)),)),
        ("where was Zorblax Quint born", "Which bridge did Otto Kern build?"),
        ("Zorblax Quint sells tea.", "Tea is a plant."),
    )
    found = overlaps(mine, [Other("100001", theirs)], reader)
    assert [o.level for o in found] == ["warn"] * 4
    names, examples, kept, keeping = found
    assert "1 names are also in policy 100001" in names.text
    assert names.shown == ("The Quint",)
    assert "0 and 0" in examples.text
    assert kept.shown == ("Zorblax Quint sells tea.",)
    assert keeping.shown == ("Otto Kern builds bridges.",)
    assert not any("Quint" in o.text or "Kern" in o.text for o in found)
    assert overlaps(mine, [Other("2", request("How?", retained=("No.",)))], reader)[0].rule == "overlap"
    assert overlaps(replace(mine, retained=()), [], reader) == []


def test_examples_that_another_guard_flags(guard: Guard) -> None:
    asked = request("Who wrote Harry Potter?", "What is Quidditch?", "How do I cook rice?")
    (found,) = covered(asked, guard, "000000")
    assert "104217 already flags 2 of the 3" in found.text
    assert covered(asked, guard, "104217") == []
    assert covered(request("Who wrote Harry Potter?", "Why?", "How do I cook rice?"), guard, "000000") == []
