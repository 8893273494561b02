"""Redirection and projection: parity with their published formulas, and the search of layer and strength."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from steering.engine.local.model import Edit, LocalModel
from steering.methods import depth, fitting, projection, redirect
from steering.methods.contrast import Contrast, Place, collect
from steering.methods.surrogate import Question, renamed
from steering.methods.trial import Trial, prompt, repetition, surprise
from steering.program import load_program
from steering.spec import EcoSpec, MethodSpec, ProjectionSpec, RedirectSpec
from tests.steering.test_eco import QUESTIONS, never

LAYER = 2


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model)


@pytest.fixture(scope="module")
def sides() -> tuple[list[Question], list[Question]]:
    rng = random.Random(3)
    return QUESTIONS, [renamed(q, ["Brailwick", "Moskdale", "Teanby"], rng) for q in QUESTIONS]


def contrast(model: LocalModel, sides: tuple[list[Question], list[Question]], place: Place) -> Contrast:
    known, unknown = ([(q.text, q.spans) for q in side] for side in sides)
    return collect(model, known, unknown, (1, LAYER), place)


def stream(model: LocalModel, question: Question) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Output of `LAYER` as transformers itself reports it, float64, and the flat spans of the names."""
    ids, spans = prompt(model, question.text, question.spans)
    out = model.network(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return out.hidden_states[LAYER + 1][0].detach().double().numpy(), spans


def directly(
    model: LocalModel, ids: list[int], rows: Sequence[int], change: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Logits of a forward pass in which a plain hook changes some tokens after `LAYER`."""

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        hidden[0, rows] = change(hidden[0, rows].double()).float()
        return output

    handle = model.network.model.layers[LAYER].register_forward_hook(hook)
    try:
        logits: torch.Tensor = model.network(input_ids=torch.tensor([ids])).logits[0].detach()
    finally:
        handle.remove()
    return logits


def content(model: LocalModel, text: str) -> tuple[list[int], tuple[int, ...], list[int]]:
    ids, spans = prompt(model, text, [(0, len(text))])
    return ids, tuple(spans), [t for a, b in zip(spans[::2], spans[1::2], strict=True) for t in range(a, b)]


def test_redirect_is_the_difference_of_means_added(
    model: LocalModel, sides: tuple[list[Question], list[Question]]
) -> None:
    """LUNAR (arXiv 2502.07218): r = mean h(unanswerable) - mean h(forget) at the last position; h + c r."""
    known, unknown = (np.stack([stream(model, q)[0][-1] for q in side]) for side in sides)
    r = unknown.mean(axis=0) - known.mean(axis=0)
    norms = []
    for q in sides[0]:
        norms += np.linalg.norm(stream(model, q)[0][content(model, q.text)[2]], axis=1).tolist()
    move = torch.from_numpy(1.5 * np.sort(norms)[(len(norms) - 1) // 2] * r / np.linalg.norm(r))
    program = redirect.build(model, contrast(model, sides, "last"), LAYER, 1.5)
    ids, spans, rows = content(model, "Where was Orla Quistmere born?")
    want = directly(model, ids, rows, lambda h: h + move)
    (got,) = model.logits([ids], [Edit(program, 1.0, spans)])
    torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("rank", "share"), [(1, 1.0), (3, 1.0), (2, 0.5)])
def test_projection_removes_the_principal_differences(
    model: LocalModel, sides: tuple[list[Question], list[Question]], rank: int, share: float
) -> None:
    """Direction ablation (arXiv 2406.11717) for a basis: h - Q Q^T h, Q from the differences at the names."""
    ends = [[stream(model, q)[0][stream(model, q)[1][-1] - 1] for q in side] for side in sides]
    gram = np.array(ends[1]) - np.array(ends[0])
    values, vectors = np.linalg.eigh(gram.T @ gram)
    q = torch.from_numpy(vectors[:, np.argsort(values)[::-1][:rank]].copy())
    program = projection.build(model, contrast(model, sides, "name"), LAYER, rank, share)
    ids, spans, rows = content(model, "Where was Orla Quistmere born?")
    want = directly(model, ids, rows, lambda h: h - share * (h @ q) @ q.T)
    (got,) = model.logits([ids], [Edit(program, 1.0, spans)])
    torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-4)
    assert program.gate(16.0) * share == pytest.approx(1.0), "a dose must not reflect what it should remove"


SPECS: list[MethodSpec] = [
    RedirectSpec(name="redirect", strength=2.0),
    RedirectSpec(name="redirect", layer=1),
    ProjectionSpec(name="projection", layer=1),
    ProjectionSpec(name="projection", rank=2),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_search_takes_the_best_of_what_it_tried(model: LocalModel, spec: MethodSpec) -> None:
    shares: list[float] = []
    fitted = fitting.fit(model, QUESTIONS, (), spec, never, lambda _, share: shares.append(share))
    tried = {(point.layer, point.strength) for point in fitted.points}
    best = min(fitted.points, key=lambda point: point.distance)
    assert len(tried) == len(fitted.points) > 1
    assert fitted.program.edit.sites == (best.layer,)
    assert fitting.sites(fitted.program) == (f"layer.{best.layer}",)
    assert (fitted.searched, fitted.checked) == (5, 5)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    again = load_program(fitted.program.to_bytes())
    assert again.to_bytes() == fitted.program.to_bytes()
    described = fitting.describe(fitted.program, model)
    assert described["columns"] == len(fitted.program.edit.layers)
    if isinstance(spec, RedirectSpec):
        length = float(np.linalg.norm(fitted.program.directions))
        assert fitted.program.edit.strength == best.strength
        assert length > 0


def test_the_part_that_is_learned_from_is_not_measured_on(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []

    def watched(*args: Any, **kwargs: Any) -> Contrast:
        seen.append({text for text, _ in args[1]})
        return collect(*args, **kwargs)

    class Watched(Trial):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            seen.append({question.text for question in args[4]})
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(depth, "collect", watched)
    monkeypatch.setattr(depth, "Trial", Watched)
    fitting.fit(model, QUESTIONS, (), RedirectSpec(name="redirect", layer=1, strength=1.0), never, lambda *_: None)
    learned, searched, checked = seen
    assert learned.isdisjoint(searched | checked)
    assert searched.isdisjoint(checked)
    assert len(learned | searched | checked) == len(QUESTIONS)


def test_leaks_push_the_search_away(model: LocalModel) -> None:
    """The dose that was best tells values in a second search, and another one is taken."""
    spec = RedirectSpec(name="redirect", layer=1)
    first = fitting.fit(model, QUESTIONS, (), spec, never, lambda *_: None)
    told: set[str] = set()
    asked = [prompt(model, q.text, [(0, len(q.text))]) for q in QUESTIONS]
    edits = [Edit(first.program, 1.0, tuple(spans)) for _, spans in asked]
    for answer in model.generate([ids for ids, _ in asked], edits, max_tokens=24):
        told.add(model.tokenizer.decode(answer, skip_special_tokens=True))

    def tells(_question: str, answer: str, _values: Sequence[str]) -> bool:
        return answer in told

    second = fitting.fit(model, QUESTIONS, (), spec, tells, lambda *_: None)
    leak = {point.strength: point.leak for point in second.points}
    assert leak[first.program.edit.strength] == 1.0
    assert leak[second.program.edit.strength] < 1.0


def test_bad_requests_are_explained(model: LocalModel) -> None:
    for spec, reason in (
        (RedirectSpec(name="redirect", layer=4), "layers 0 to 3"),
        (ProjectionSpec(name="projection", layer=9), "layers 0 to 3"),
    ):
        with pytest.raises(ValueError, match=reason):
            fitting.fit(model, QUESTIONS, (), spec, never, lambda *_: None)
    with pytest.raises(ValueError, match="at least 12 example questions"):
        fitting.fit(model, QUESTIONS[:11], (), RedirectSpec(name="redirect"), never, lambda *_: None)


def test_a_method_without_a_name_is_eco() -> None:
    from pydantic import TypeAdapter, ValidationError

    adapter: TypeAdapter[MethodSpec] = TypeAdapter(MethodSpec)
    assert adapter.validate_python({"kind": "replace"}) == EcoSpec(kind="replace")
    assert adapter.validate_python({"name": "redirect", "layer": 3}) == RedirectSpec(name="redirect", layer=3)
    with pytest.raises(ValidationError, match="one of eco, redirect, projection"):
        adapter.validate_python({"name": "lora"})


def test_surprise_is_that_of_the_answer_alone(model: LocalModel) -> None:
    asked, answer = "Who was Orla Quistmere?", "A sailor."
    head, tail = model.chat_ids(asked), model.tokenizer(answer, add_special_tokens=False)["input_ids"]
    scores = torch.log_softmax(model.network(input_ids=torch.tensor([head + tail])).logits[0].double(), dim=1)
    want = [-float(scores[len(head) + i - 1, token]) for i, token in enumerate(tail)]
    assert surprise(model, [(asked, answer), (asked, "")]) == pytest.approx(sum(want) / len(want), abs=1e-4)
    assert surprise(model, [(asked, "")]) == 0


def test_repetition() -> None:
    assert repetition("one two three four") == 0
    assert repetition("a b c a b c") == pytest.approx(1 / 4)
    assert repetition("no no no no no") == pytest.approx(2 / 3)
    assert repetition("") == 0
