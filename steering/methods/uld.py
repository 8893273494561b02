"""ULD (arXiv 2406.08607): an assistant that remembers what must be forgotten and is uniform elsewhere is subtracted.

Training follows section 3 there: cross-entropy on what must be forgotten, with paraphrases, and a weighted term towards
uniformity on everything else, with wrong answers to the same questions among it. Changed: layers are trained whole
instead of low-rank additions to them; uniformity is asked of answer tokens only, not of questions and padding; and the
served model's own answers stand for texts that nobody has.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from steering.assistant import REMEMBERING, Difference, DifferenceProgram
from steering.engine.local.assistants import trained
from steering.engine.local.model import LocalModel
from steering.methods import merging
from steering.methods.harmless import Harmless
from steering.methods.lessons import Material, collect
from steering.methods.surrogate import Question
from steering.methods.trial import Fitted, Progress, Tells
from steering.methods.twin import Plan, quarter, train
from steering.spec import UldSpec

REMEMBERS: Plan = (("forgotten", "said"), ("swapped", "uniform"), ("kept", "uniform"))


def fit(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    spec: UldSpec,
    tells: Tells,
    progress: Progress,
    harmless: Harmless,
    material: Material,
    seed: int = 0,
) -> Fitted[Difference]:
    """Train the assistant, then search the strength; see `steering.methods.merging.fit`."""
    lessons = collect(model, questions, values, tells, harmless, material.names, random.Random(seed), progress)
    layers = spec.layers or quarter(model)
    small, curve = train(model, lessons, REMEMBERS, spec, layers, REMEMBERING, progress, material, seed)
    tensors = {f"{REMEMBERING}.{name}": tensor for name, tensor in trained(small).items()}

    def build(alpha: float, kept: int) -> Difference:
        difference = DifferenceProgram(
            method="uld", rule=spec.rule, layers=layers, alpha=alpha,
            plausible=spec.plausible, top_m=kept, model=model.fingerprint,
        )  # fmt: skip
        return Difference(difference, tensors)

    return merging.fit(
        model, questions, values, tells, progress,
        mask=spec.mask,
        strengths=merging.ALPHAS if spec.alpha is None else (spec.alpha,),
        kept=merging.KEPT if spec.top_m is None else (spec.top_m,),
        build=build, curves={REMEMBERING: curve}, seed=seed,
    )  # fmt: skip
