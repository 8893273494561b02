"""Linear models on whole short texts as a second encoder reads them, one per policy about a subject.

A policy about facts has none: a second encoder adds nothing there (`benchmarks.guards.encoders`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guards.dataset import NEIGHBOUR_WEIGHT, Dataset, Texts
from guards.encoder import Floats
from guards.examples import Sample
from guards.normalize import Ints
from guards.part import FittedPart, FittedSecond, PartError
from guards.threshold import NEIGHBOUR_RATE, bounded
from guards.whole import LONGEST, Whole

NEIGHBOURS = NEIGHBOUR_RATE["entity"][0] / 2, NEIGHBOUR_RATE["entity"][1]
"""Share of neighbours above the threshold, and the confidence that no more are: the first look has a share of its own.
"""
BENIGN = 1500
"""Harmless texts that a model is fitted on; every one costs the second encoder milliseconds, once a process."""


def fit_second(
    whole: Whole,
    samples: Sequence[Sample],
    near: Sequence[str],
    bare: Sequence[Sample],
    usual: Sequence[str],
    *,
    given: int,
    seed: int,
) -> FittedSecond:
    """Fit the second model of a policy as the first one is, with every text as one window.

    Args:
        whole, samples, near, bare, seed: see `dataset`.
        usual: other harmless texts, of which `BENIGN` short ones are read.
        given: the threshold is bounded on so many of `near`, the first ones.
    """
    short = [text for text in usual if len(text) <= LONGEST][:BENIGN]
    data = dataset(whole, samples, near, bare, short, NEIGHBOUR_WEIGHT["entity"], seed)
    held, model = data.held_out(), data.fit(data.everything())
    threshold = bounded(held[1][:given], NEIGHBOURS)
    return FittedSecond(whole.encoder.fingerprint, model.weights, model.bias, threshold)


def dataset(
    whole: Whole,
    samples: Sequence[Sample],
    near: Sequence[str],
    bare: Sequence[Sample],
    usual: Sequence[str],
    weight: float,
    seed: int,
) -> Dataset:
    """What a second model is fitted on.

    Args:
        whole: reads texts with the second encoder.
        samples: what the policy forgets; rewordings of small weight are left out.
        near: harmless texts that look alike, of this weight.
        bare: these without their names; their sources are places in `near`.
        usual: other harmless texts.
        weight: see `near`.
        seed: draws the folds.
    """

    def texts(listed: Sequence[str], sources: Sequence[int], weight: float = 1.0) -> Texts:
        n, vectors = len(listed), whole.vectors(listed)
        weights, none = np.full(n, weight, np.float32), np.zeros(n, bool)
        return Texts(vectors, np.arange(n), np.array(sources, np.int64), weights, none, none)

    asked = [sample for sample in samples if sample.weight == 1.0]
    return Dataset(
        texts([s.text for s in asked], [s.source for s in asked]),
        texts(near, range(len(near)), weight),
        texts(usual, range(len(usual))),
        texts([s.text for s in bare], [s.source for s in bare]),
        np.ones(len(usual), bool),
        seed=seed,
        strongest=0.0,
    )


class SecondModels:
    """The second models of all policies, stacked."""

    def __init__(self, parts: Sequence[FittedPart], whole: Whole) -> None:
        """`parts` in the order of the policies. Raises `PartError` for a part fitted with another second encoder."""
        encoder, self._whole = whole.encoder, whole
        self.present = np.array([part.second is not None for part in parts], bool)
        self.threshold = np.full(len(parts), np.inf, np.float32)
        self._weights = np.zeros((encoder.dim, len(parts)), np.float32)
        self._bias = np.zeros(len(parts), np.float32)
        for place, part in enumerate(parts):
            if part.second is None:
                continue
            if part.second.fingerprint != encoder.fingerprint or len(part.second.weights) != encoder.dim:
                raise PartError(
                    f"fitted with the second encoder {part.second.fingerprint}, but `guard.second` is "
                    f"{encoder.fingerprint}; compile the policy again with it"
                )
            self._weights[:, place], self._bias[place] = part.second.weights, part.second.bias
            self.threshold[place] = part.second.threshold

    @classmethod
    def of(cls, parts: Sequence[FittedPart], whole: Whole | None) -> SecondModels | None:
        """None without a second encoder, or where no policy was compiled with one."""
        return cls(parts, whole) if whole is not None and any(part.second is not None for part in parts) else None

    def scores(self, texts: Sequence[str]) -> Floats:
        """Scores `[texts, policies]`; meaningless for a policy that is not `present`."""
        return np.asarray(self._whole.vectors(texts) @ self._weights + self._bias, np.float32)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Texts and policies whose first models find them unusual.

    Attributes:
        count: number of all texts.
        texts, first, second: of each pair the text, the scaled first score, and the second score.
    """

    count: int
    texts: Ints
    first: Floats
    second: Floats

    @classmethod
    def read(cls, texts: Sequence[str], scaled: Floats, begin: float, models: SecondModels) -> Pairs:
        """Those with a scaled first score, `[texts, policies]`, of at least `begin`."""
        at, policies = np.nonzero((scaled >= begin) & models.present)
        rows, place = np.unique(at, return_inverse=True)
        second = models.scores([texts[row] for row in rows.tolist()])
        return cls(len(texts), at, np.asarray(scaled[at, policies], np.float32), second[place, policies])

    def worst(self, begin: float) -> Floats:
        """Largest second score of each text where the first one is at least `begin`, `[count]`."""
        worst = np.full(self.count, -np.inf, np.float32)
        inside = self.first >= begin
        np.maximum.at(worst, self.texts[inside], self.second[inside])
        return worst
