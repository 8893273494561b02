"""The comparison of methods, on a small random model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import methods
from benchmarks.methods import Target, drawn, named, placed, report, right, said, written
from benchmarks.methods_plot import plot, plot_search
from guards.encoder import load_encoder
from guards.reading import Reader
from steering.engine.local.model import LocalModel
from steering.methods.surrogate import Question
from steering.spec import EcoSpec, RedirectSpec

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


def test_report(target: Target, tmp_path: Path) -> None:
    spec, saved = RedirectSpec(name="redirect", layer=1, strength=4.0), list[list[str]]()
    found = report(
        target, Reader(load_encoder("wordllama")), {"redirect": spec}, tmp_path,
        ungated=False, sampled=2, save=lambda found: saved.append(list(found["methods"])),
    )  # fmt: skip
    assert saved == [["bare", "strangers"], ["bare", "strangers", "redirect"]]
    rows = found["methods"]
    assert rows["bare"]["leak@16"]["n"] == found["sampled"] == 2
    assert rows["redirect"]["dose"] == pytest.approx(4.0, rel=0.5)
    assert rows["redirect"]["restored"]["share"] == 1.0, "a constant move is taken back whole"
    assert rows["redirect"]["goal"]["leak"]
    assert rows["redirect"]["goal"]["perplexity"] == (
        rows["redirect"]["perplexity"] <= 1.5 * rows["strangers"]["perplexity"]
    )
    assert list(rows) == ["bare", "strangers", "redirect"]
    assert rows["bare"]["leak@1"]["share"] == 1.0
    assert rows["redirect"]["leak@1"]["share"] == rows["redirect"]["leak@16"]["share"] == 0.0
    assert rows["redirect"]["program"]["layers"] == [1]
    assert rows["redirect"]["same_answer_when_wrongly_flagged"] == 0.0
    assert rows["redirect"]["perplexity"] > 1
    plot({"targets": {"tiny": found}}, tmp_path / "methods.png")
    assert (tmp_path / "methods.png").stat().st_size > 10_000


def test_a_file_keeps_the_rows_it_has(tmp_path: Path) -> None:
    rate = {"share": 0.5, "ci95": [0.1, 0.9]}
    row = {"leak@1": rate, "leak@16": rate, "on_topic": 1, "repetition": 0, "distinct_2": 1, "perplexity": 2.0}
    same = {"model": "m", "questions": 3, "examples": 4}
    path = tmp_path / "methods.json"
    path.write_text('{"overhead": {"none": {"ratio": 1.0}}}')
    written(path, "world", {**same, "methods": {"bare": row, "redirect": row}})
    written(path, "other", {**same, "methods": {"bare": row}})
    found = written(path, "world", {**same, "methods": {"bare": row, "cast": row}})
    assert json.loads(path.read_text()) == found
    assert list(found["targets"]["world"]["methods"]) == ["bare", "redirect", "cast"]
    assert list(found["targets"]["other"]["methods"]) == ["bare"]
    assert found["overhead"] == {"none": {"ratio": 1.0}}
    assert {"hardware", "commit"} <= found.keys()
    found = written(path, "world", {**same, "questions": 5, "methods": {"bare": row}})
    assert list(found["targets"]["world"]["methods"]) == ["bare"], "rows of other questions are no comparison"


def test_a_named_layer_is_for_those_that_have_one() -> None:
    assert placed(RedirectSpec(name="redirect"), 8) == RedirectSpec(name="redirect", layer=8)
    assert placed(EcoSpec(), 8) == EcoSpec()
    assert placed(RedirectSpec(name="redirect"), None) == RedirectSpec(name="redirect")


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
