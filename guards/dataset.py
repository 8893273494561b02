"""Windows of positive, neighbouring and benign texts, and the fits on parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guards.classifier import FOLDS, Linear, fit_linear, stack, worst
from guards.encoder import Floats
from guards.evidence import Models
from guards.normalize import Bools, Ints
from guards.reading import Reading

BENIGN_WINDOWS = 4000
NEIGHBOUR_WEIGHT = {"entity": 2.0, "facts": 20.0}
"""Of a harmless text that looks alike; of facts, nearly all that counts is to tell them from those about the person."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of one class, read.

    Attributes:
        vectors: windows of all texts, `[windows, dim]`.
        owners: text of each window.
        sources: group of each text; a group is never split between fitting and measuring.
        weights: weight of each text.
        flags: whether a name of the policy that is evidence (no verdict by itself) was found in each text.
        decided: whether names alone are a verdict.
    """

    vectors: Floats
    owners: Ints
    sources: Ints
    weights: Floats
    flags: Bools
    decided: Bools

    def __len__(self) -> int:
        return len(self.sources)

    @classmethod
    def read(
        cls,
        readings: Sequence[Reading],
        models: Models,
        sources: Ints,
        weights: Floats,
        nameless: Sequence[Reading] | None = None,
    ) -> Texts:
        """Stack readings and look for the names of the only policy in `models`.

        `nameless` are readings of the same texts without these names, whose windows are taken instead.
        """
        vectors, owners = stack([r.vectors for r in nameless or readings], models.weights.shape[0])
        found = [models.names(r).get(0, []) for r in readings]
        decided = np.array([bool(models.deciding(0, ((0, f) for f in names))) for names in found], bool)
        return cls(vectors, owners, sources, weights, np.array([bool(f) for f in found], bool), decided)


@dataclass(frozen=True, slots=True)
class Standard:
    """A linear model whose worst-window scores of benign texts have mean 0 and standard deviation 1."""

    weights: Floats
    bias: float
    boost: float

    def scores(self, texts: Texts) -> Floats:
        """Score of the worst window of each text, name evidence added."""
        windows = np.asarray(texts.vectors @ self.weights + self.bias, np.float32)
        return worst(windows, texts.owners, len(texts)) + self.boost * texts.flags


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a guard is fitted on.

    `bare` are neighbours without their names; their sources are places in `near`. `worded` says which benign texts
    are made of words: scores are measured in deviations of these.
    """

    positive: Texts
    near: Texts
    benign: Texts
    bare: Texts
    worded: Bools
    seed: int
    strongest: float

    def everything(self) -> tuple[Bools, Bools, Bools]:
        """Masks that keep all texts."""
        return np.ones(len(self.positive), bool), np.ones(len(self.near), bool), np.ones(len(self.benign), bool)

    def fit(self, keep: tuple[Bools, Bools, Bools]) -> Standard:
        """Fit on the texts of each class that are kept (masks over positive, near, benign)."""
        vectors, flags, labels, weights, groups = [], [], [], [], []
        base = 0
        draw = np.random.default_rng(self.seed)
        classes = (self.positive, self.near, self.benign, self.bare)
        base_of_bare = int(self.positive.sources.max(initial=-1)) + 1  # in the groups of the neighbours they come from
        kept = (*keep, keep[1][self.bare.sources])
        for texts, mask, label in zip(classes, kept, (True, False, False, False), strict=True):
            rows = np.flatnonzero(mask[texts.owners])
            if texts is self.benign and len(rows) > BENIGN_WINDOWS:
                rows = np.sort(draw.choice(rows, BENIGN_WINDOWS, replace=False))
            owners = texts.owners[rows]
            vectors.append(texts.vectors[rows])
            flags.append(texts.flags[owners])
            labels.append(np.full(len(rows), label))
            weights.append(texts.weights[owners])
            groups.append(texts.sources[owners] + (base_of_bare if texts is self.bare else base))
            base += int(texts.sources.max(initial=-1)) + 1
        linear = fit_linear(
            np.concatenate(vectors),
            np.concatenate(flags),
            np.concatenate(labels),
            np.concatenate(weights),
            np.concatenate(groups),
            self.seed,
        )
        return self._standard(linear, keep[2])

    def _standard(self, linear: Linear, mask: Bools) -> Standard:
        best = worst(linear.scores(self.benign.vectors), self.benign.owners, len(self.benign))
        best = best[mask & self.worded & np.isfinite(best)]
        mean, deviation = float(best.mean()), max(float(best.std()), 1e-6)
        boost = min(linear.evidence / deviation, self.strongest)
        return Standard(linear.weights / np.float32(deviation), (linear.bias - mean) / deviation, boost)

    def held_out(self) -> tuple[Floats, Floats, Floats]:
        """Scores of every positive, near and benign text by models that were fitted without its group.

        A neighbour's score is the larger one of those with and without its names: names that other neighbours share
        make it look less alike than a question about somebody new.
        """
        classes = (self.positive, self.near, self.benign)
        draw = np.random.default_rng(self.seed + 1)
        folds = [_folds(t.sources, draw) for t in classes]
        scores = tuple(np.full(len(t), -np.inf, np.float32) for t in classes)
        for k in range(FOLDS):
            keep = (folds[0] != k, folds[1] != k, folds[2] != k)
            if not keep[0].any():
                continue
            model = self.fit(keep)
            for texts, fold, out in zip(classes, folds, scores, strict=True):
                out[fold == k] = model.scores(texts)[fold == k]
            bare = folds[1][self.bare.sources] == k
            np.maximum.at(scores[1], self.bare.sources[bare], model.scores(self.bare)[bare])
        return scores[0], scores[1], scores[2]


def _folds(sources: Ints, draw: np.random.Generator) -> Ints:
    """Balanced folds over the groups."""
    fold = np.arange(int(sources.max(initial=-1)) + 1) % FOLDS
    draw.shuffle(fold)
    return np.asarray(fold[sources], np.int64)
