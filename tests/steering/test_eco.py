"""The search for strength, on a small random model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from steering.engine.local.model import LocalModel
from steering.methods import eco, trial
from steering.methods.surrogate import Question, invented_names, surrogate
from steering.spec import EcoSpec


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model)


QUESTIONS = [
    Question(text, ((text.index("Orla"), text.index("Orla") + len("Orla Quistmere")),), ("tides",))
    for text in (f"What did Orla Quistmere {verb} in the year {i}?" for i, verb in enumerate(("do", "say", "see") * 5))
]


def never(question: str, answer: str, values: Sequence[str]) -> bool:
    return False


def test_names_are_different_and_repeatable() -> None:
    names = invented_names(60, 1)
    assert len(set(names)) == 60
    assert names == invented_names(60, 1) != invented_names(60, 2)


def test_surrogate_replaces_every_name_alike() -> None:
    question = Question("Did Orla meet ORLA or Bob?", ((4, 8), (14, 18), (22, 25)), ())
    out = surrogate(question, ["Xa", "Yb", "Zc"], random.Random(0)).removeprefix("Did ").removesuffix("?")
    first, rest = out.split(" meet ")
    second, third = rest.split(" or ")
    assert first == second != third
    assert {first, third} <= {"Xa", "Yb", "Zc"}


def test_the_prompt_masks_the_name_and_not_the_template(model: LocalModel) -> None:
    text = "Who is Orla Quistmere?"
    ids, spans = trial.prompt(model, text, [(7, 21)])
    masked = model.tokenizer.decode([i for a, b in zip(spans[::2], spans[1::2], strict=True) for i in ids[a:b]])
    assert masked.strip() == "Orla Quistmere"
    assert len(model.tokenizer.decode(ids)) > len(text)


@pytest.mark.parametrize("kind", ["noise", "zero_top_k", "flip_top_k", "replace"])
def test_a_fixed_strength_is_measured_and_kept(model: LocalModel, kind: str) -> None:
    strength = 4.0 if kind == "noise" else 1.0
    spec = EcoSpec(kind=kind, strength=strength, dims=8)  # type: ignore[arg-type]
    fitted = eco.fit(model, QUESTIONS, (), spec, never, lambda *_: None)
    assert len(fitted.points) == 1
    assert fitted.searched + fitted.checked == len(QUESTIONS)
    assert fitted.check.similarity < 1
    assert bool(fitted.program.substitute.any()) == (kind == "replace")
    norm = float(model.network.get_input_embeddings().weight.norm(dim=1).mean())
    assert fitted.program.eco.strength == pytest.approx(strength * norm / 8**0.5 if kind == "noise" else 1.0)


def test_the_search_takes_the_point_nearest_to_the_surrogate(model: LocalModel) -> None:
    shares: list[float] = []
    fitted = eco.fit(model, QUESTIONS, (), EcoSpec(kind="zero_top_k", dims=128), never, lambda _, s: shares.append(s))
    best = min(fitted.points, key=lambda p: p.distance)
    assert fitted.program.eco.strength == best.strength
    assert {p.strength for p in fitted.points} == set(eco.SHARE_GRID)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_leaks_beyond_chance_push_the_search_away(model: LocalModel) -> None:
    """With the same answers, a strength whose answers leak is worse by the excess over the surrogate."""
    target = trial.Point(0.0, 0.0, leak=0.5, own=0.1, similarity=0.5)
    quiet, leaky, asked = (trial.Point(1.0, 0.0, leak, own, 0.5) for leak, own in ((0.5, 0.1), (0.8, 0.1), (0.5, 0.4)))
    assert trial.distance(quiet, target) == 0
    assert trial.distance(leaky, target) == pytest.approx(0.3)
    assert trial.distance(asked, target) == pytest.approx(0.3)


def test_the_value_that_was_asked_for_is_counted_beside_all_others(model: LocalModel) -> None:
    asked = [Question(q.text, q.spans, ("red",) if i % 2 else ("blue",)) for i, q in enumerate(QUESTIONS)]

    def tells(_question: str, _answer: str, values: Sequence[str]) -> bool:
        return "red" in values

    spec = EcoSpec(kind="zero_top_k", dims=8, strength=1.0)
    fitted = eco.fit(model, asked, ("red", "blue"), spec, tells, lambda *_: None)
    assert fitted.check.leak == fitted.check_bare.leak == 1.0
    assert 0 < fitted.check.own == fitted.check_bare.own < 1


def test_too_few_questions_are_refused(model: LocalModel) -> None:
    with pytest.raises(ValueError, match="at least 8 example questions"):
        eco.fit(model, QUESTIONS[:7], (), EcoSpec(), never, lambda *_: None)


def test_overlap() -> None:
    assert trial.overlap("The cat sat", "the CAT sat!") == 1
    assert trial.overlap("cat", "dog") == 0
    assert trial.overlap("", "") == 0
    assert trial.overlap("a b", "a c") == pytest.approx(0.5)
