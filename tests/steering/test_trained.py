"""Columns that are trained: what they aim at, what training keeps, and what taking a move back restores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from steering.activation import PHI, Activation
from steering.engine.local.model import Edit, LocalModel
from steering.methods import fitting, trained, tuning, unknowing
from steering.methods.contrast import Contrast, collect
from steering.methods.lessons import Exchange
from steering.methods.moves import dose, moves, restored
from steering.methods.redirect import build
from steering.methods.surrogate import Question
from steering.methods.trial import Point, prompt
from steering.methods.unknowing import Aim
from steering.program import load_program
from steering.spec import CastSpec, MethodSpec, ProjectionSpec, RedirectSpec
from tests.steering.test_conditional import HARMLESS
from tests.steering.test_depth import content
from tests.steering.test_eco import QUESTIONS, never

LAYERS = (1, 2)
NAMES = ("Orla Quistmere", *(f"Tom {chr(65 + i)}ndrel" for i in range(9)))


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model)


@pytest.fixture(scope="module")
def given(model: LocalModel) -> list[Aim]:
    """A random model is sure of nothing, so whatever is rarer with others counts as a fact."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unknowing, "SURE", 0.0)
        patch.setattr(unknowing, "RARE", 0.9)
        return unknowing.aims(model, QUESTIONS[:6], NAMES, "content", lambda *_: None)


@pytest.fixture(scope="module")
def contrast(model: LocalModel) -> Contrast:
    known = [(q.text, q.spans) for q in QUESTIONS]
    return collect(model, known, known, LAYERS, "name")


def projection(model: LocalModel, contrast: Contrast, given: Sequence[Aim]) -> Activation:
    found = {layer: trained.span(model, contrast, given, layer, 6) for layer in LAYERS}
    return trained.beside([trained.projecting(model, *found[layer], layer) for layer in LAYERS])


def divergence(model: LocalModel, program: Activation | None, given: Sequence[Aim]) -> float:
    """What training makes smaller, by the local engine itself: KL from the aim, facts weighed."""
    edits = [Edit(program, 1.0, aim.spans, aim.start) if program else None for aim in given]
    apart, facts = [], torch.cat([aim.facts for aim in given])
    for aim, logits in zip(given, model.logits([aim.ids for aim in given], edits), strict=True):
        logp = torch.log_softmax(logits[aim.start - 1 : -1], dim=1).gather(1, aim.tokens)
        apart.append((aim.shares * (aim.shares.clamp_min(1e-9).log() - logp)).sum(dim=1))
    values = torch.cat(apart)
    return float(tuning.WEIGHT * values[facts].mean() + values[~facts].mean())


def test_a_fact_is_aimed_at_without_itself(model: LocalModel, given: Sequence[Aim]) -> None:
    assert any(aim.facts.any() for aim in given)
    for aim in given:
        said = torch.tensor(aim.ids[aim.start :])
        assert len(aim.facts) == len(said)
        torch.testing.assert_close(aim.shares.sum(dim=1), torch.ones(len(said)))
        own = torch.where(aim.tokens == said[:, None], aim.shares, 0.0).sum(dim=1)
        assert (own[aim.facts] == 0).all()
        (logits,) = model.logits([aim.ids])
        kept = torch.softmax(logits[aim.start - 1 : -1], dim=1)[~aim.facts]
        want = kept.topk(unknowing.TOP, dim=1).values
        torch.testing.assert_close(aim.shares[~aim.facts], want / want.sum(dim=1, keepdim=True), rtol=1e-3, atol=1e-4)


def test_the_subject_in_an_answer_is_no_fact(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not compared: the texts about others have another name there."""
    monkeypatch.setattr(unknowing, "TOKENS", 99)
    question = QUESTIONS[0]
    pair = Exchange(question, "Orla Quistmere said no. ORLA QUISTMERE!")
    text, other = (unknowing._text(model, pair, name, 0) for name in (None, "Bob"))
    said = [model.tokenizer.decode(t.ids[t.start : -1]) for t in (text, other)]
    assert said == ["Orla Quistmere said no. ORLA QUISTMERE!", "Bob said no. Bob!"]
    assert {model.tokenizer.decode([token]).strip() for _, token in text.places.values()} >= {"no", "."}
    inside = {*range(len("Orla Quistmere")), *range(24, 38)}
    assert inside.isdisjoint(text.places)


@pytest.mark.parametrize("tied", [True, False])
def test_training_comes_nearer_to_the_aim(
    model: LocalModel, contrast: Contrast, given: list[Aim], tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "LEAST_STEPS", 15)
    start = projection(model, contrast, given)
    if not tied:
        start = replace(start, directions=np.zeros_like(start.directions))
    found = tuning.tune(model, start, given, lambda *_: None, tied=tied)
    before, after = (divergence(model, program, given) for program in (start, found))
    assert after < 0.98 * before
    assert load_program(found.to_bytes()).to_bytes() == found.to_bytes()
    if tied:
        for layer in LAYERS:
            q = found.probes[:, found.columns(layer)]
            np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-5)
        np.testing.assert_array_equal(found.directions, found.probes.T)


def test_a_share_of_a_projection_leaves_the_rest(model: LocalModel, contrast: Contrast, given: list[Aim]) -> None:
    whole = trained.projecting(model, *trained.span(model, contrast, given, 1, 4), 1)
    half = trained.multiplied(whole, 0.5, tied=True)
    ids, spans, _ = content(model, QUESTIONS[0].text)
    moved, less = (moves(model, program, [(ids, spans)])[1][1] for program in (whole, half))
    torch.testing.assert_close(less, moved / 2)
    q = torch.from_numpy(half.probes)
    torch.testing.assert_close(q.T @ q, torch.eye(4), atol=1e-5, rtol=0)


def test_a_constant_move_is_taken_back_whole(model: LocalModel, contrast: Contrast) -> None:
    contrast = replace(contrast, unknown=contrast.known + torch.randn(contrast.known.shape[-1]))
    program = build(model, contrast, 1, 1.5)
    ids, spans, _ = content(model, QUESTIONS[0].text)
    found = moves(model, program, [(ids, spans)])
    assert dose(found) == pytest.approx(1.5, rel=0.5)
    bare, moved, back = (
        model.logits([ids], [Edit(p, 1.0, spans) if p else None])[0] for p in (None, program, restored(program, found))
    )
    assert float((moved - bare).abs().max()) > 0.1
    torch.testing.assert_close(back, bare, atol=1e-3, rtol=1e-3)


SPECS: list[MethodSpec] = [
    RedirectSpec(name="redirect", trained=True, rank=4),
    ProjectionSpec(name="projection", trained=True, rank=4, layer=1),
    CastSpec(name="cast", trained=True, rank=4, condition=0),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_methods_are_fitted_by_training(model: LocalModel, spec: MethodSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "LEAST_STEPS", 2)
    monkeypatch.setattr(trained, "MOST", 6)
    asked: list[str] = []

    def seen(model: LocalModel, questions: Sequence[Question], *rest: object) -> list[Aim]:
        asked.extend(q.text for q in questions)
        return unknowing.aims(model, questions, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(trained, "aims", seen)
    fitted = fitting.fit(model, QUESTIONS, (), spec, never, lambda *_: None, HARMLESS)
    assert 0 < len(asked[:-6]) <= 6, "the first time without what is measured on"
    assert asked[-6:] == [q.text for q in QUESTIONS[:6]]
    edit, opens = fitted.program.edit, fitted.program.phi[PHI.index("gates")]
    moving = {layer for layer, gate in zip(edit.layers, opens, strict=True) if not gate}
    wanted = {"redirect": {0, 1}, "projection": {1}, "cast": {1, 2}}
    assert moving == wanted[spec.name]
    assert int(opens.sum()) == (spec.name == "cast")
    assert len(fitted.points) == len(trained.SHARES if spec.name == "projection" else trained.DOSES)
    assert edit.strength > 0
    assert load_program(fitted.program.to_bytes()).to_bytes() == fitted.program.to_bytes()


def test_what_the_search_trades() -> None:
    never_knew = Point(0.0, 0.0, leak=0.1, own=0.0, similarity=0.3, topic=0.5, repetition=0.0, surprise=0.5)
    assert trained.cost(replace(never_knew, similarity=0.9, surprise=0.9), never_knew) == 0
    told, babbled = replace(never_knew, own=0.5, leak=0.5), replace(never_knew, surprise=4.0, repetition=0.1)
    assert trained.cost(told, never_knew) == pytest.approx(1.4)
    assert trained.cost(babbled, never_knew) == pytest.approx(0.1 + 0.5 * (3.5 - np.log(1.5)))


def test_prompts_of_aims_are_those_that_are_served(model: LocalModel, given: Sequence[Aim]) -> None:
    ids, spans = prompt(model, QUESTIONS[0].text, [(0, len(QUESTIONS[0].text))])
    assert given[0].ids[: given[0].start] == tuple(ids)
    assert given[0].spans == tuple(spans)
    assert int(given[0].edited().sum()) == spans[1] - spans[0] + len(given[0].ids) - given[0].start
