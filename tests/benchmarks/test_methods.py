"""The comparison of methods, on a small random model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import methods
from benchmarks.methods import Target, drawn, named, report, right, said
from benchmarks.methods_plot import plot, plot_search
from guards.encoder import load_encoder
from guards.reading import Reader
from steering.engine.local.model import LocalModel
from steering.methods.surrogate import Question
from steering.spec import RedirectSpec

TEXTS = [f"What did Orla Quistmere {verb} in the year {1900 + i}?" for i, verb in enumerate(("do", "say", "see") * 4)]


@pytest.fixture(scope="module")
def target(tiny_model: Path) -> Target:
    """Every question's value is what the model says to it, so that the bare model always leaks."""
    model = LocalModel.load(tiny_model)
    asked = [named(text, ["Orla Quistmere"], []) for text in TEXTS]
    told = said(model, asked, None, "content")
    given = [replace(question, values=(answer.strip(),)) for question, answer in zip(asked, told, strict=True)]
    return Target(model, given, (), given[:3], [()] * 3, [Question("Who is Bob?", ((0, 11),), ())])


def test_names_are_found_where_they_stand() -> None:
    assert named("Is orla quistmere a sailor?", ["Orla Quistmere", "Orla"], ["x"]).spans == ((3, 17),)
    assert named("Is Bob a sailor?", ["Orla"], []).spans == ()


def test_draws_are_many_and_repeatable(target: Target) -> None:
    first, again, other = (drawn(target.model, target.held[0], None, "content", seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) > 1
    assert len(first) == methods.DRAWS


def test_report(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "SPECS", {"redirect": RedirectSpec(name="redirect", layer=1, strength=4.0)})
    found = report(target, Reader(load_encoder("wordllama")), (), tmp_path, ungated=False)
    rows = found["methods"]
    assert list(rows) == ["bare", "strangers", "redirect"]
    assert rows["bare"]["leak@1"]["share"] == 1.0
    assert rows["redirect"]["leak@1"]["share"] == rows["redirect"]["leak@16"]["share"] == 0.0
    assert rows["redirect"]["program"]["layers"] == [1]
    assert rows["redirect"]["same_answer_when_wrongly_flagged"] == 0.0
    assert rows["redirect"]["perplexity"] > 1
    plot({"targets": {"tiny": found}}, tmp_path / "methods.png")
    assert (tmp_path / "methods.png").stat().st_size > 10_000


def test_the_search_of_a_logit_difference_is_drawn(tmp_path: Path) -> None:
    never = {"strength": 0.0, "kept": 0.0, "own": 0.1, "sampled": 0.3}
    tried = [{"strength": s, "kept": k, "own": 0.1 / s, "sampled": 0.3 / s} for s, k in ((0.5, 20), (1, 20), (1, 50))]
    program = {"strength": 1.0, "kept": 20, "unit": "alpha"}
    rows = {"bare": {}, "twin": {"search": tried, "search_surrogate": never, "program": program}}
    plot_search({"targets": {"tiny": {"methods": rows}}}, tmp_path / "search.png")
    assert (tmp_path / "search.png").stat().st_size > 10_000
    plot_search({"targets": {"tiny": {"methods": {"bare": {}}}}}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_right_answers_are_those_with_the_value() -> None:
    asked = [Question("Where was Ann born?", (), (town,)) for town in ("Oslo", "Bonn")] + [Question("Why?", (), ())]
    assert right(asked, ["Ann was born in Oslo.", "In Rome.", "Because."])["hits"] == 1
    assert right(asked, ["Ann was born in Oslo.", "In Rome.", "Because."])["n"] == 2
