"""A program in another precision of its model: refused with its old numbers, and given new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.quantised import int8
from steering.activation import PHI, Activation
from steering.engine.local.model import LocalModel
from steering.engine.local.programs import Programs
from steering.methods import fitting, merging
from steering.methods.contrast import Contrast, collect
from steering.methods.harmless import NONE, gather
from steering.methods.kept import Kept
from steering.methods.recalibrate import Recalibrated, recalibrate
from steering.program import AnyProgram, Program, ProgramError
from steering.spec import CastSpec, EcoSpec, MethodSpec, NullspaceSpec, ProjectionSpec, RedirectSpec, TwinSpec
from tests.steering.engine.local.test_assistants import difference
from tests.steering.test_conditional import HARMLESS
from tests.steering.test_eco import QUESTIONS, never

SPECS: dict[str, MethodSpec] = {
    "noise": EcoSpec(strength=8.0),
    "redirect": RedirectSpec(name="redirect", layer=1, strength=2.0),
    "projection": ProjectionSpec(name="projection", layer=1, rank=3, share=0.5),
    "nullspace": NullspaceSpec(name="nullspace", layer=2, strength=2.0),
    "cast": CastSpec(name="cast", condition=0, layer=1, width=2, strength=2.0),
}


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model)


@pytest.fixture(scope="module")
def half(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model, "bfloat16")


@pytest.fixture(scope="module")
def eight(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    pytest.importorskip("compressed_tensors", reason="models in int8 are read with its package, which vLLM brings")
    return LocalModel.load(int8(tiny_model, tmp_path_factory.mktemp("int8") / "model", activations=False))


@pytest.fixture(scope="module")
def programs(model: LocalModel) -> dict[str, AnyProgram]:
    return {
        name: fitting.fit(model, QUESTIONS, (), spec, never, lambda *_: None, HARMLESS).program
        for name, spec in SPECS.items()
    }


def again(model: LocalModel, program: AnyProgram, spec: MethodSpec) -> Recalibrated:
    return recalibrate(model, program, QUESTIONS, (), spec, never, lambda *_: None, HARMLESS)


def contrast(model: LocalModel, layers: Sequence[int]) -> Contrast:
    asked = [(q.text, q.spans) for q in QUESTIONS]
    return collect(model, asked, asked, layers, "name")


def unit(rows: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    found = rows.astype(np.float64)
    out: np.ndarray[tuple[int, int], np.dtype[np.float64]] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return out


@pytest.mark.parametrize(
    ("name", "precision"), [*((name, "half") for name in SPECS), ("redirect", "eight"), ("nullspace", "eight")]
)
def test_refused_with_the_old_numbers_and_taken_with_new_ones(
    request: pytest.FixtureRequest, programs: dict[str, AnyProgram], name: str, precision: str
) -> None:
    served: LocalModel = request.getfixturevalue(precision)
    program, table = programs[name], Programs(served.fingerprint, served.layers)
    with pytest.raises(ProgramError, match=r"another model.*lethe compile --recalibrate BUNDLE"):
        table.put("p100001@1", program.to_bytes())
    found = again(served, program, SPECS[name])
    assert table.put("p100001@1", found.fitted.program.to_bytes())[1]
    assert found.dose == pytest.approx(fitting.describe(program, served)["strength"], rel=0.05)
    if isinstance(program, Activation):
        new = found.fitted.program
        assert new.edit.layers == program.edit.layers
        moves = program.phi[PHI.index("gates")] == 0
        np.testing.assert_allclose(unit(new.directions[moves]), unit(program.directions[moves]), atol=1e-6)
        assert found.dose != program.edit.strength, "norms of another precision are other numbers"
    elif isinstance(program, Program):
        assert found.fitted.program.eco.seed == program.eco.seed


def test_trained_columns_are_compiled_again(half: LocalModel, programs: dict[str, AnyProgram]) -> None:
    with pytest.raises(ValueError, match="trained columns are not recalibrated: compile the policy"):
        again(half, programs["redirect"], RedirectSpec(name="redirect", trained=True))


def test_a_dose_is_in_norms_of_the_model_that_is_served(
    model: LocalModel, half: LocalModel, programs: dict[str, AnyProgram]
) -> None:
    program = programs["redirect"]
    assert isinstance(program, Activation)
    kept = Kept(half, program, RedirectSpec(name="redirect"), None)
    mine, theirs = contrast(half, (1,)), contrast(model, (1,))
    length = float(np.linalg.norm(kept.build(mine, 1.4).directions))
    assert length == pytest.approx(1.4 * float(mine.norms[0]), rel=1e-6)
    assert length != pytest.approx(1.4 * float(theirs.norms[0]), rel=1e-5)
    assert len(kept.strengths()) > 1
    assert replace(kept, spec=RedirectSpec(name="redirect", strength=3.0)).strengths() == (3.0,)


def test_a_projection_keeps_its_first_columns(half: LocalModel, programs: dict[str, AnyProgram]) -> None:
    program = programs["projection"]
    assert isinstance(program, Activation)
    kept = Kept(half, program, ProjectionSpec(name="projection"), None)
    assert kept.strengths() == [1, 3]
    mine = contrast(half, (1,))
    one = kept.build(mine, 1)
    np.testing.assert_array_equal(one.directions, program.directions[:1])
    assert one.edit.layers == (1,)
    inside = (mine.known[0] @ torch.from_numpy(program.probes[:, :1])).abs().median()
    assert one.edit.strength == pytest.approx(0.5 * float(inside / mine.norms[0]), rel=1e-5)


def test_gates_open_where_they_did_whatever_the_scale_of_the_stream(
    model: LocalModel, programs: dict[str, AnyProgram]
) -> None:
    """A stream that is three times as long is another precision taken to the extreme: the same edit relative to it."""
    for name, layers in (("nullspace", (2,)), ("cast", (0, 1, 2))):
        program, spec = programs[name], SPECS[name]
        assert isinstance(program, Activation)
        assert isinstance(spec, NullspaceSpec | CastSpec)
        seen, tokens = contrast(model, layers), gather(model, HARMLESS, layers[:1]).at(layers[0])
        long = replace(seen, **{field: 3 * getattr(seen, field) for field in ("known", "norms", "names")})
        parts = {part: 3 * getattr(tokens, part) for part in ("fit", "calibration", "check", "check_near")}
        here = Kept(model, program, spec, tokens)
        there = replace(here, tokens=replace(tokens, **parts))
        one, other = here.build(seen, 2.0), there.build(long, 2.0)
        np.testing.assert_allclose(other.directions, 3 * one.directions, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(other.phi, one.phi, rtol=1e-3, atol=1e-5)
        assert there.opening(long) == pytest.approx(here.opening(seen), rel=1e-3, abs=1e-3)
        scale = 3 if name == "nullspace" else 1  # of a cosine the length of the stream is no part
        np.testing.assert_allclose(other.probes * scale, one.probes, rtol=1e-4, atol=1e-7)


def test_what_cannot_be_recalibrated_is_explained(
    model: LocalModel, half: LocalModel, programs: dict[str, AnyProgram]
) -> None:
    foreign = half.fingerprint.model_copy(update={"weights_sha256": "0" * 64})
    for served, program, spec, reason in (
        (model, "redirect", "redirect", "the same model in the same dtype"),
        (foreign, "redirect", "redirect", "only dtype and quantisation may differ .*weights_sha256"),
        (half, "redirect", "noise", "not one of the method eco: compile"),
        (half, "redirect", "projection", "not one of the method projection: compile"),
    ):
        here = served if isinstance(served, LocalModel) else half
        if not isinstance(served, LocalModel):
            here = LocalModel(half.name, half.network, half.tokenizer, served)
        with pytest.raises(ValueError, match=reason):
            again(here, programs[program], SPECS[spec])
    with pytest.raises(ValueError, match="at least 40 everyday requests"):
        recalibrate(half, programs["nullspace"], QUESTIONS, (), SPECS["nullspace"], never, lambda *_: None, NONE)


def test_assistants_keep_what_they_learned(
    model: LocalModel, half: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "draws", partial(merging.draws, count=1))  # what is drawn decides nothing here
    program = difference(model, "twin")
    found = again(half, program, TwinSpec(name="twin", alpha=1.5, top_m=50))
    new = found.fitted.program
    assert new.tensors is program.tensors
    assert (new.difference.alpha, new.difference.top_m, found.dose) == (1.5, 50, 1.0)
    assert new.model == half.fingerprint
