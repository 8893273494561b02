"""A further tier on whole texts: a linear model per policy on an encoder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.guards.policies import Policy
from benchmarks.guards.scanning import Scanned
from guards.dataset import NEIGHBOUR_WEIGHT
from guards.encoder import Floats
from guards.examples import Sample, neighbours, positives, questions, without_names
from guards.second import dataset
from guards.threshold import NEIGHBOUR_RATE, bounded
from guards.whole import Whole


@dataclass(frozen=True, slots=True)
class Fitting:
    """What one policy is fitted on."""

    asked: tuple[Sample, ...]
    near: tuple[str, ...]
    bare: tuple[Sample, ...]

    @classmethod
    def of(cls, policy: Policy) -> Fitting:
        """Examples and neighbours, as `guards.fit` varies them; rewordings of small weight are left out."""
        spec, base = policy.spec, policy.base
        asked = [s for s in positives(spec, questions(spec, base), seed=1) if s.weight == 1.0]
        near = neighbours(spec, base)
        bare = [] if spec.granularity == "facts" else without_names(near, seed=1)
        return cls(tuple(asked), tuple(near), tuple(bare))

    def texts(self) -> list[str]:
        """All of it."""
        return [*(s.text for s in self.asked), *self.near, *(s.text for s in self.bare)]


@dataclass(frozen=True, slots=True)
class Tier:
    """A linear model of one policy on one encoder; `harmless` are its held-out scores of benign texts."""

    weights: Floats
    bias: float
    threshold: float
    harmless: Floats

    @classmethod
    def fit(cls, policy: Policy, fitting: Fitting, usual: Sequence[str], whole: Whole) -> Tier:
        """Fit as `guards.second` does, on questions with names in them too."""
        kind = policy.spec.granularity
        data = dataset(whole, fitting.asked, fitting.near, fitting.bare, usual, weight=NEIGHBOUR_WEIGHT[kind], seed=1)
        held, model = data.held_out(), data.fit(data.everything())
        return cls(model.weights, model.bias, bounded(held[1], NEIGHBOUR_RATE[kind]), held[2])

    def scores(self, vectors: Floats) -> Floats:
        """Score of each text."""
        return np.asarray(vectors @ self.weights + self.bias, np.float32)


def tier_figures(
    tiers: Mapping[str, Tier], alpha: float, found: Mapping[str, Sequence[Scanned]], whole: Whole
) -> dict[str, dict[str, int]]:
    """Requests that the guard flags, and the guard or the tier; `found` are the guard's verdicts by kind.

    A request that must be recognised counts where its own policy flags it, a harmless one where any does.
    """
    most = np.max([tier.harmless for tier in tiers.values()], axis=0)
    cutoff = float(np.quantile(most, 1 - alpha / 2, method="higher"))
    figures: dict[str, dict[str, int]] = {}
    for kind, results in found.items():
        rows = whole.vectors([r.case.text for r in results])
        flags = {p: tier.scores(rows) >= max(tier.threshold, cutoff) for p, tier in tiers.items()}
        for place, result in enumerate(results):
            case = result.case
            name = f"{case.group or kind}: {case.family}" if case.family != kind else kind
            row = figures.setdefault(name, {"n": 0, "guard": 0, "with tier": 0})
            own = [case.policy] if case.policy else list(tiers)
            row["n"] += 1
            row["guard"] += result.caught
            row["with tier"] += result.caught or any(bool(flags[p][place]) for p in own)
    return figures
