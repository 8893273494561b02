"""A program for the same model in another dtype or quantisation: directions are kept, doses and gates found again.

What a program depends on moves with the precision: the norms of the residual stream that its dose is measured in, how
strongly a dose acts, and at which value of a probe a gate opens. Where it points moves little. So nothing is learned
again: a kept direction stands for the contrast it came from, assistants keep their weights, noise its seed, and the
method's own search chooses the strength on the same parts of the questions as the first time. What the program does
with its old numbers is measured on the same held-out questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from steering.activation import Activation
from steering.assistant import Difference
from steering.engine.local.model import LocalModel
from steering.methods import depth, eco, fitting, merging
from steering.methods.contrast import Contrast
from steering.methods.harmless import Harmless, gather
from steering.methods.kept import Kept, Spec
from steering.methods.surrogate import Question
from steering.methods.trial import Fitted, Point, Progress, Tells
from steering.program import AnyProgram, Program
from steering.spec import (
    CastSpec,
    EcoSpec,
    MethodSpec,
    ModelFingerprint,
    NullspaceSpec,
    ProjectionSpec,
    RedirectSpec,
    TwinSpec,
    UldSpec,
)


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """The program with its new numbers, and what the old ones do in this model.

    Attributes:
        before: the old program on the held-out questions that `fitted.check` is about.
        dose: strength of the old program, measured in this model: in its norms, where a strength is one in norms.
    """

    fitted: Fitted[Any]
    before: Point
    dose: float


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every search needs."""

    model: LocalModel
    questions: Sequence[Question]
    values: Sequence[str]
    tells: Tells
    progress: Progress


def recalibrate(
    model: LocalModel,
    program: AnyProgram,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: MethodSpec,
    tells: Tells,
    progress: Progress,
    harmless: Harmless,
) -> Recalibrated:
    """Search the dose of a program again in `model`; the arguments are those of `fitting.fit`.

    Raises ValueError for a program of a model that differs in more than precision, of another method, or with trained
    columns: those learned what answers this very network gives.
    """
    require_another_precision(program.model, model.fingerprint)
    asked = _Asked(model, questions, values, tells, progress)
    match program, spec:
        case Program(), EcoSpec():
            return _corruption(asked, program, spec)
        case Activation(), RedirectSpec() | ProjectionSpec() | NullspaceSpec() | CastSpec():
            if getattr(spec, "trained", False):
                raise ValueError("trained columns are not recalibrated: compile the policy for this model")
            if program.edit.method == spec.name:
                return _edit(asked, program, spec, harmless)
        case Difference(), UldSpec() | TwinSpec():
            if program.difference.method == spec.name:
                return _difference(asked, program, spec)
    raise ValueError(f"the bundle's program is not one of the method {spec.name}: compile the policy")


def require_another_precision(compiled: ModelFingerprint, served: ModelFingerprint) -> None:
    """Raise ValueError unless two models differ in nothing but precision, as far as a fingerprint can tell."""
    if not compiled.differs_in_precision(served):
        different = compiled.mismatch(served) or "it is the same model in the same dtype"
        raise ValueError(f"only dtype and quantisation may differ from what was compiled for: {different}")


def _corruption(asked: _Asked, program: Program, spec: EcoSpec) -> Recalibrated:
    here = program.eco.model_copy(update={"model": asked.model.fingerprint})
    dose = float(fitting.describe(Program(here, program.substitute), asked.model)["strength"])

    def run(spec: EcoSpec) -> Fitted[Program]:
        return eco.fit(
            asked.model, asked.questions, asked.values, spec, asked.tells, asked.progress, seeds=(program.eco.seed,)
        )

    return Recalibrated(run(spec), run(spec.model_copy(update={"strength": dose})).check, dose)


def _difference(asked: _Asked, program: Difference, spec: UldSpec | TwinSpec) -> Recalibrated:
    old = program.difference
    masks, kept = old.rule == "rank", old.top_m - old.rank
    was: float = old.rank if masks else old.alpha

    def build(strength: float, count: int) -> Difference:
        rank = round(strength) if masks else 0
        alpha = 1.0 if masks else strength
        new = {"alpha": alpha, "rank": rank, "top_m": count + rank, "model": asked.model.fingerprint}
        return Difference(old.model_copy(update=new), program.tensors)

    given = spec.rank if masks and isinstance(spec, TwinSpec) else spec.alpha
    searched = (merging.RANKS if masks else merging.ALPHAS) if given is None else (given,)

    def run(strengths: Sequence[float], counts: Sequence[int]) -> Fitted[Difference]:
        return merging.fit(
            asked.model, asked.questions, asked.values, asked.tells, asked.progress,
            mask=spec.mask, strengths=strengths, kept=counts, build=build, curves={},
        )  # fmt: skip

    fitted = run(searched, merging.KEPT if spec.top_m is None else (spec.top_m,))
    return Recalibrated(fitted, run((was,), (kept,)).check, was)


def _edit(asked: _Asked, program: Activation, spec: Spec, texts: Harmless) -> Recalibrated:
    model, sites = asked.model, program.edit.sites
    if sites[-1] >= model.layers:
        raise ValueError(f"the program edits after layer {sites[-1]}, but the model has {model.layers} layers")
    tokens = gather(model, texts, sites[:1]).at(sites[0]) if fitting.conditional(spec) else None
    kept = Kept(model, program, spec, tokens)
    old = replace(program, edit=program.edit.model_copy(update={"model": model.fingerprint}))
    seen: list[Contrast] = []

    def build(contrast: Contrast, _layer: int, strength: float) -> Activation:
        seen.append(contrast)
        return kept.build(contrast, strength)

    def run(strengths: Sequence[float], build: depth.Build) -> Fitted[Activation]:
        return depth.fit(
            model, asked.questions, asked.values, asked.tells, asked.progress,
            mask=spec.mask, layers=kept.moving[:1], read=sites, strengths=strengths, build=build,
            place="name" if isinstance(spec, ProjectionSpec) else spec.place,
        )  # fmt: skip

    fitted = run(kept.strengths(), build)
    before = run((program.edit.strength,), lambda *_: old).check
    fitted = replace(fitted, condition=kept.opening(seen[-1]))
    return Recalibrated(fitted, before, kept.dose(seen[-1]))
