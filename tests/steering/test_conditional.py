"""Nullspace and CAST: parity with their published formulas, what opens them, and the search of layer and strength."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from steering.activation import PHI, Activation
from steering.engine.local.model import Edit, LocalModel
from steering.methods import cast, fitting, nullspace
from steering.methods.contrast import Contrast, collect
from steering.methods.harmless import Harmless, Tokens, activations, gather
from steering.methods.surrogate import Question, renamed
from steering.program import load_program
from steering.spec import CastSpec, MethodSpec, NullspaceSpec
from tests.steering.test_depth import content, directly, stream
from tests.steering.test_eco import QUESTIONS, never

CONDITION, LAYER = 1, 2
ASKED = "Where was Orla Quistmere born?"
HARMLESS = Harmless(
    near=[f"What did Bob Miller {verb} in the year {year}?" for year in range(1900, 1905) for verb in ("do", "say")],
    asked=[f"How do I cook {number} {thing}?" for number in range(12) for thing in ("eggs", "beans", "pears", "figs")],
    told=[
        f"Section {n}. The function returns the {n}th {part} of a list." for n in range(25) for part in ("row", "key")
    ],
)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model)


@pytest.fixture(scope="module")
def contrast(model: LocalModel) -> Contrast:
    rng = random.Random(3)
    twins = [renamed(q, ["Brailwick", "Moskdale", "Teanby"], rng) for q in QUESTIONS]
    known, unknown = ([(q.text, q.spans) for q in side] for side in (QUESTIONS, twins))
    return collect(model, known, unknown, (CONDITION, LAYER), "name")


@pytest.fixture(scope="module")
def tokens(model: LocalModel) -> Tokens:
    return gather(model, HARMLESS, (CONDITION, LAYER))


def known(contrast: Contrast, layer: int = LAYER) -> torch.Tensor:
    return contrast.names[contrast.layers.index(layer)]


def run(model: LocalModel, program: Activation, text: str) -> torch.Tensor:
    ids, spans, _ = content(model, text)
    (got,) = model.logits([ids], [Edit(program, 1.0, spans)])
    return got


def tables(program: Activation) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(getattr(program, name)).double() for name in ("probes", "phi", "directions")}


def test_every_harmless_text_is_in_one_part(model: LocalModel, tokens: Tokens) -> None:
    count = {name: getattr(tokens, name).shape[1] for name in ("fit", "calibration", "check", "check_near")}
    texts = (HARMLESS.near, HARMLESS.asked, HARMLESS.told)
    whole = [activations(model, part, (LAYER,)).shape[1] for part in texts]
    assert sum(count.values()) == sum(whole)
    assert min(count.values()) > 0
    with pytest.raises(ValueError, match="at least 40 pieces of running text, not 3"):
        gather(model, Harmless(asked=HARMLESS.asked, told=HARMLESS.told[:3]), (LAYER,))


def test_only_content_tokens_of_harmless_texts_are_read(model: LocalModel) -> None:
    ids, _, rows = content(model, ASKED)
    want = model.activations([ids], (LAYER,))[0][:, [row for row in rows if row > 0]]
    torch.testing.assert_close(activations(model, [ASKED], (LAYER,)), want, atol=1e-5, rtol=1e-5)


def test_the_names_of_a_contrast_are_all_of_their_tokens(model: LocalModel, contrast: Contrast) -> None:
    found = [rows for q in QUESTIONS[:2] for rows in _name_rows(model, q)]
    want = torch.from_numpy(np.concatenate(found)).float()
    torch.testing.assert_close(known(contrast)[: len(want)], want, atol=1e-4, rtol=1e-4)
    assert known(contrast).shape[0] > contrast.known.shape[1], "a name has several tokens"


def _name_rows(model: LocalModel, question: Question) -> list[np.ndarray[Any, Any]]:
    rows, spans = stream(model, question)
    return [rows[a:b] for a, b in zip(spans[::2], spans[1::2], strict=True)]


@pytest.mark.parametrize("null", [0.3, 0.6])
def test_the_published_matrix_is_a_probe_and_a_direction(contrast: Contrast, tokens: Tokens, null: float) -> None:
    """AlphaSteer (arXiv 2506.07022): M = P (X^T X + lambda P^T P)^+ X^T (1 r^T) of rank 1, float64."""
    g = torch.Generator().manual_seed(1)
    f, h = known(contrast).double(), tokens.at(LAYER).fit.double()
    # a few short texts leave many directions unused, of which no 30 % are the least used ones
    h = torch.cat([h, 0.01 * torch.randn(600, f.shape[1], generator=g, dtype=torch.float64)])
    r = torch.randn(f.shape[1], generator=g, dtype=torch.float64)
    m = nullspace.matrix(f, h, r, null, 10.0)
    u = nullspace.cut(f, h, null, 10.0)
    torch.testing.assert_close(m, torch.outer(u, r), atol=1e-8 * float(m.abs().max()), rtol=1e-6)
    assert float((f @ u).mean()) > 0.9, "what must be forgotten is moved"
    strongest = torch.linalg.svd(h, full_matrices=False)[2][:10]
    assert float((strongest @ u).abs().max()) < 1e-6 * float(u.norm()), "what harmless text uses most is not read"


def test_the_causal_column_does_to_the_last_token_what_the_published_matrix_does(
    model: LocalModel, contrast: Contrast, tokens: Tokens
) -> None:
    """Where the gate is neither clipped nor in the dead zone, h_last + h_last M, for every row its own h."""
    f, h = known(contrast).double(), tokens.at(LAYER).fit.double()
    u = nullspace.cut(f, h, 0.5)
    program = nullspace.build(model, contrast, LAYER, 1.5, nullspace.Gate(u, 0.0, 0.0))
    r = torch.from_numpy(program.directions[0]).double()
    m = torch.outer(u, r)
    ids, _, rows = content(model, ASKED)
    raw = torch.from_numpy(stream(model, Question(ASKED, (), ()))[0])[rows] @ u
    rows = [row for row, gate in zip(rows, raw, strict=True) if 0 < gate < 1][-1:]
    assert rows, "some token has a gate that is not clipped"
    want = directly(model, ids, rows, lambda x: x + x @ m)
    (got,) = model.logits([ids], [Edit(program, 1.0, (rows[0], rows[0] + 1))])
    torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-4)
    assert float((got - model.logits([ids])[0]).abs().max()) > 1e-2


@pytest.mark.parametrize("null", [None, 0.5])
def test_a_causal_gate_is_clipped_behind_its_dead_zone(
    model: LocalModel, contrast: Contrast, tokens: Tokens, null: float | None
) -> None:
    gate = nullspace.gate(known(contrast), tokens.at(LAYER), null)
    program = nullspace.build(model, contrast, LAYER, 1.5, gate)
    r = torch.from_numpy(program.directions[0]).double()

    def change(x: torch.Tensor) -> torch.Tensor:
        raw = x @ gate.u + gate.b
        return x + torch.clamp((raw - gate.tau) / (1 - gate.tau), 0, 1)[:, None] * r

    ids, _, rows = content(model, ASKED)
    torch.testing.assert_close(run(model, program, ASKED), directly(model, ids, rows, change), atol=1e-3, rtol=1e-4)
    length = float(contrast.norms[1]) * 1.5
    assert float(r.norm()) == pytest.approx(length, rel=1e-4)


def test_what_a_gate_was_not_fitted_on_stays_in_the_dead_zone(contrast: Contrast, tokens: Tokens) -> None:
    """The share of running text that it was calibrated on is known; on other text it is measured."""
    here = tokens.at(LAYER)
    gate = nullspace.gate(known(contrast), here)
    assert float((gate(here.calibration) > 0).double().mean()) <= 1 - nullspace.QUIET + 1 / len(here.calibration)
    figures = nullspace.measured(gate, known(contrast), here)
    assert figures["known"] > 0.9
    assert figures["harmless_open"] < 0.05
    assert figures["harmless_gate"] <= figures["harmless_open"]
    assert set(figures) == {
        "dead_zone", "known", "harmless_open", "harmless_gate", "neighbours_open", "neighbours_gate",
    }  # fmt: skip


def test_weighing_is_the_limit_of_least_squares(contrast: Contrast, tokens: Tokens) -> None:
    """u of the module minimises mean (1 - h u)^2 + w mean (h u)^2 + l |u|^2, up to its length: the gradient is 0."""
    here, centre = tokens.at(LAYER), tokens.at(LAYER).fit.double().mean(dim=0)
    f, h = known(contrast).double() - centre, here.fit.double() - centre
    u = nullspace.weighed(f, h)
    assert float((f @ u).mean()) == pytest.approx(1.0)
    both = f.T @ f / len(f) + nullspace.WEIGHT * h.T @ h / len(h)
    image = both @ u + nullspace.RIDGE * both.diagonal().mean() * u
    cosine = torch.nn.functional.cosine_similarity(image, f.mean(dim=0), dim=0)
    assert float(cosine) == pytest.approx(1.0, abs=1e-9)


def test_a_frozen_form_moves_every_token(model: LocalModel, contrast: Contrast) -> None:
    program = nullspace.build(model, contrast, LAYER, 1.5)
    r = torch.from_numpy(program.directions[0]).double()
    ids, _, rows = content(model, ASKED)
    want = directly(model, ids, rows, lambda x: x + r)
    torch.testing.assert_close(run(model, program, ASKED), want, atol=1e-3, rtol=1e-4)


def test_the_printed_form_adds_the_last_token_to_all(model: LocalModel, contrast: Contrast, tokens: Tokens) -> None:
    """`replayed` against a second forward pass that is written out: every token of the layer's input, prefill only."""
    f, h = known(contrast).double(), tokens.at(LAYER).fit.double()
    r = torch.randn(f.shape[1], generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    m = nullspace.matrix(f, h, r, 0.5, 10.0)
    ids = content(model, ASKED)[0]
    with nullspace.replayed(model, {LAYER + 1: m}, 2.0):
        (got,) = model.logits([ids])
        state = model.prefill([ids])
        state.advance([7])
    last = torch.from_numpy(stream(model, Question(ASKED, (), ()))[0])[-1]
    change = 2.0 * last @ m
    # input of layer 3 = output of layer 2, where `directly` edits
    want = directly(model, ids, range(len(ids)), lambda x: x + change)
    torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-4)
    again = model.prefill([ids])
    assert not torch.equal(state.logits, again.logits), "the cache keeps the edit"


@pytest.mark.parametrize("sides", ["one", "both"])
def test_cast_is_a_step_on_the_cosine(model: LocalModel, contrast: Contrast, tokens: Tokens, sides: str) -> None:
    """CAST (arXiv 2409.05907): h + f(cos(h, proj_c h)) a v at a later layer, proj_c h = (c c^T / c^T c) h."""
    both = sides == "both"
    condition = cast.condition(CONDITION, contrast.known[0], tokens.at(CONDITION), both=both)
    ids, _, rows = content(model, ASKED)
    state: dict[str, torch.Tensor] = {}

    def keep(_module: Any, _args: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        x, c = hidden[0, rows].double(), condition.c
        projected = (torch.outer(c, c) / (c @ c) @ x.T).T
        similarity = torch.nn.functional.cosine_similarity(x, projected, dim=1)
        state["cosine"] = similarity if both else similarity * torch.sign(x @ c)

    handle = model.network.model.layers[CONDITION].register_forward_hook(keep)
    try:
        model.logits([ids])
        middle = float(state["cosine"].median())
        # a threshold between two tokens, so that both sides of the step are seen
        edge = cast.Condition(CONDITION, condition.c, middle + 1e-4, both, condition.f1)
        program = cast.build(model, contrast, edge, (LAYER,), 1.5)
        r = torch.from_numpy(program.directions[-1]).double()
        want = directly(model, ids, rows, lambda x: x + (state["cosine"] > edge.theta)[:, None] * r)
    finally:
        handle.remove()
    opened = state["cosine"] > edge.theta
    assert 0 < int(opened.sum()) < len(rows)
    torch.testing.assert_close(run(model, program, ASKED), want, atol=1e-3, rtol=1e-4)
    assert program.edit.sites == (CONDITION, LAYER)
    assert load_program(program.to_bytes()).to_bytes() == program.to_bytes()


def test_cast_condition_is_the_first_component_and_the_best_threshold(contrast: Contrast, tokens: Tokens) -> None:
    here = tokens.at(CONDITION)
    yes, no = contrast.known[0].double(), here.calibration.double()
    condition = cast.condition(CONDITION, yes, here)
    places = np.linspace(0, len(here.fit) - 1, len(yes)).astype(int)
    a, b = yes.numpy(), here.fit.double().numpy()[places]
    rows = np.concatenate([a, b]) - (a.mean(axis=0) + b.mean(axis=0)) / 2
    _, vectors = np.linalg.eigh(rows.T @ rows)
    assert abs(float(vectors[:, -1] @ condition.c.numpy())) == pytest.approx(1.0, abs=1e-9)
    assert float((yes.mean(dim=0) - torch.from_numpy(b).mean(dim=0)) @ condition.c) > 0

    def f1(theta: float) -> float:
        cosines = [(x @ condition.c / x.norm(dim=1) > theta).double().mean() for x in (yes, no)]
        return float(2 * cosines[0] / (1 + cosines[0] + cosines[1]))

    assert f1(condition.theta) == pytest.approx(condition.f1)
    assert condition.f1 >= max(f1(theta) for theta in np.linspace(-1, 1, 57)) - 1e-9
    figures = cast.measured(condition, yes, here)
    assert figures["known"] > 0.9
    assert figures["harmless_open"] < 0.2


def test_an_opened_gate_moves_every_token(model: LocalModel, contrast: Contrast, tokens: Tokens) -> None:
    """A canary asks something harmless, where a gate that was fitted well is shut."""
    condition = cast.condition(CONDITION, contrast.known[0], tokens.at(CONDITION))
    shut = cast.Condition(CONDITION, condition.c, 2.0, condition.both, condition.f1)  # no cosine is that large
    program = cast.build(model, contrast, shut, (LAYER,), 1.5)
    ids, _, rows = content(model, ASKED)
    (bare,) = model.logits([ids])
    assert torch.equal(run(model, program, ASKED), bare)
    r = torch.from_numpy(program.directions[-1]).double()
    want = directly(model, ids, rows, lambda x: x + r)
    torch.testing.assert_close(run(model, program.opened(), ASKED), want, atol=1e-3, rtol=1e-4)


SPECS: list[MethodSpec] = [
    NullspaceSpec(name="nullspace", layer=1),
    NullspaceSpec(name="nullspace", strength=2.0, null=0.5),
    NullspaceSpec(name="nullspace", form="frozen", layer=1),
    CastSpec(name="cast", strength=2.0),
    CastSpec(name="cast", condition=0, layer=1, width=2, sides="both"),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_search_takes_the_best_of_what_it_tried(model: LocalModel, spec: MethodSpec) -> None:
    shares: list[float] = []
    fitted = fitting.fit(model, QUESTIONS, (), spec, never, lambda _, share: shares.append(share), HARMLESS)
    tried = {(point.layer, point.strength) for point in fitted.points}
    best = min(fitted.points, key=lambda point: point.distance)
    assert len(tried) == len(fitted.points)
    edit, opens = fitted.program.edit, fitted.program.phi[PHI.index("gates")]
    moving = [layer for layer, gate in zip(edit.layers, opens, strict=True) if not gate]
    assert moving[0] == best.layer
    assert edit.strength == best.strength
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert load_program(fitted.program.to_bytes()).to_bytes() == fitted.program.to_bytes()
    assert fitting.conditional(spec) == bool(fitted.condition)
    if isinstance(spec, CastSpec):
        assert len(moving) == spec.width
        assert int(opens.sum()) == (2 if spec.sides == "both" else 1)
        assert fitted.condition["layer"] == edit.layers[0] < moving[0]


def test_bad_requests_are_explained(model: LocalModel) -> None:
    for spec, reason in (
        (NullspaceSpec(name="nullspace", layer=4), "method.layer is 4, but the model has layers 0 to 3"),
        (CastSpec(name="cast", condition=4), "method.condition is 4, but the model has layers 0 to 3"),
        (CastSpec(name="cast", condition=2, layer=2), "condition 2 and layer 2 leave none"),
        (CastSpec(name="cast", condition=1, layer=3, width=2), "moves 2 layer"),
    ):
        with pytest.raises(ValueError, match=reason):
            fitting.fit(model, QUESTIONS, (), spec, never, lambda *_: None, HARMLESS)
    for name in ("nullspace", "cast"):
        given: MethodSpec = TypeAdapter(MethodSpec).validate_python({"name": name})
        with pytest.raises(ValueError, match="at least 40 everyday requests, not 0"):
            fitting.fit(model, QUESTIONS, (), given, never, lambda *_: None)
    with pytest.raises(ValidationError, match="published form adds what the last token"):
        NullspaceSpec.model_validate({"name": "nullspace", "form": "published"})
