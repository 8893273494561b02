"""A further tier on whole texts: a linear model per policy on an encoder of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.guards.policies import Policy
from benchmarks.guards.scanning import Scanned
from guards.dataset import NEIGHBOUR_WEIGHT, Dataset, Texts
from guards.encoder import Encoder, Floats
from guards.examples import Sample, neighbours, positives, questions, without_names
from guards.normalize import Normalizer
from guards.threshold import NEIGHBOUR_RATE, bounded

CHUNK = 256
"""Texts that an encoder reads at once: it may put those of alike length together."""


class Vectors:
    """Vectors of whole texts, each read once."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._normalizer = Normalizer()
        self._known: dict[str, Floats] = {}

    def of(self, texts: Sequence[str], done: Callable[[], None] = lambda: None) -> Floats:
        """One row per text, `[texts, dim]`; `done` is called after each that is new."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for low in range(0, len(new), CHUNK):
            chunk = new[low : low + CHUNK]
            words = [self._normalizer.fold(text).words()[0] or ["."] for text in chunk]
            ends = np.cumsum([len(one) for one in words])
            read = self._encoder.read([word for one in words for word in one])
            rows = read.vectors(ends - [len(one) for one in words], ends)
            for text, row in zip(chunk, rows, strict=True):
                self._known[text] = row
                done()
        return (
            np.stack([self._known[text] for text in texts]) if texts else np.zeros((0, self._encoder.dim), np.float32)
        )


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
    def fit(cls, policy: Policy, fitting: Fitting, usual: Sequence[str], vectors: Vectors) -> Tier:
        """Fit as `guards.fit` does, with every text as one window."""

        def texts(listed: Sequence[str], sources: Sequence[int], weight: float) -> Texts:
            n = len(listed)
            none = np.zeros(n, bool)
            weights = np.full(n, weight, np.float32)
            return Texts(vectors.of(listed), np.arange(n), np.array(sources, np.int64), weights, none, none)

        kind = policy.spec.granularity
        data = Dataset(
            texts([s.text for s in fitting.asked], [s.source for s in fitting.asked], 1.0),
            texts(fitting.near, range(len(fitting.near)), NEIGHBOUR_WEIGHT[kind]),
            texts(usual, range(len(usual)), 1.0),
            texts([s.text for s in fitting.bare], [s.source for s in fitting.bare], 1.0),
            np.ones(len(usual), bool),
            seed=1,
            strongest=0.0,
        )
        held, model = data.held_out(), data.fit(data.everything())
        return cls(model.weights, model.bias, bounded(held[1], NEIGHBOUR_RATE[kind]), held[2])

    def scores(self, vectors: Floats) -> Floats:
        """Score of each text."""
        return np.asarray(vectors @ self.weights + self.bias, np.float32)


def tier_figures(
    tiers: Mapping[str, Tier], alpha: float, found: Mapping[str, Sequence[Scanned]], vectors: Vectors
) -> dict[str, dict[str, int]]:
    """Requests that the guard flags, and the guard or the tier; `found` are the guard's verdicts by kind.

    A request that must be recognised counts where its own policy flags it, a harmless one where any does.
    """
    most = np.max([tier.harmless for tier in tiers.values()], axis=0)
    cutoff = float(np.quantile(most, 1 - alpha / 2, method="higher"))
    figures: dict[str, dict[str, int]] = {}
    for kind, results in found.items():
        rows = vectors.of([r.case.text for r in results])
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
