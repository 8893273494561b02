"""Policies without harmless neighbours: how far a text lies from the examples, against a linear model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.covariance import LedoitWolf

from benchmarks.guards.case import Case
from benchmarks.guards.policies import Policy
from benchmarks.guards.scanning import Scanned
from benchmarks.guards.tiers import Fitting
from guards.classifier import fit_linear
from guards.encoder import Floats
from guards.normalize import Ints
from guards.whole import Whole

RATES = {"neighbours": 0.02, "general": 0.001}
"""False positives at which the ways are compared."""


def novelty(asked: Floats, usual: Floats, tested: Floats, sources: Ints) -> dict[str, Floats]:
    """Scores `[tested]` by kind; each is standardised on the benign texts `usual`."""
    different = np.unique(asked, axis=0)
    shrunk = LedoitWolf().fit(different)
    labels = np.arange(len(asked) + len(usual)) < len(asked)
    linear = fit_linear(
        np.concatenate([asked, usual]),
        np.zeros(len(labels), bool),
        labels,
        np.ones(len(labels), np.float32),
        np.concatenate([sources, sources.max() + 1 + np.arange(len(usual))]),
        seed=1,
    )
    ways: dict[str, Callable[[Floats], Floats]] = {
        "linear model, benign texts only": linear.scores,
        "nearest cosine": lambda rows: np.asarray((rows @ different.T).max(1), np.float32),
        "Mahalanobis, shrunk": lambda rows: np.asarray(-shrunk.mahalanobis(rows), np.float32),
    }
    scores = {}
    for name, way in ways.items():
        harmless = way(usual)
        scores[name] = np.asarray((way(tested) - harmless.mean()) / harmless.std(), np.float32)
    both = scores["nearest cosine"] + scores["Mahalanobis, shrunk"]
    return {**scores, "cosine and Mahalanobis": np.asarray(both, np.float32)}


def novelty_figures(
    policies: Sequence[Policy],
    fittings: Mapping[str, Fitting],
    usual: Sequence[str],
    found: Mapping[str, Sequence[Scanned]],
    whole: Whole,
    done: Callable[[], None],
) -> dict[str, Any]:
    """Recall of class C and of facts at each of RATES, by group and way."""
    asked = [r.case for r in found["asked"]]
    general = [r.case for r in found["general"]]
    figures: dict[str, Any] = {}
    for group in dict.fromkeys(p.group for p in policies):
        own = [case for case in asked if case.group == group]
        near = [r.case for r in found.get(group, ())]
        tested = whole.vectors([case.text for case in (*own, *near, *general)])
        scores: dict[str, dict[str, Floats]] = {}
        for policy in (p for p in policies if p.group == group):
            fitting = fittings[policy.number]
            rows, sources = whole.vectors([s.text for s in fitting.asked]), np.array([s.source for s in fitting.asked])
            for way, score in novelty(rows, whole.vectors(usual), tested, sources).items():
                scores.setdefault(way, {})[policy.number] = score
            done()
        figures[group] = {way: _recall(of, own, len(near)) for way, of in scores.items()}
    return figures


def _recall(scores: Mapping[str, Floats], own: Sequence[Case], near: int) -> dict[str, Any]:
    most = np.max(list(scores.values()), axis=0)
    mine = np.array([scores[case.policy][place] for place, case in enumerate(own)])
    harmless = {"neighbours": most[len(own) : len(own) + near], "general": most[len(own) + near :]}
    cuts = {kind: float(np.quantile(harmless[kind], 1 - rate, method="higher")) for kind, rate in RATES.items()}
    return {
        "n": len(own),
        **{
            f"recall at {rate:.1%} of {kind}": round(float((mine > cuts[kind]).mean()), 4)
            for kind, rate in RATES.items()
        },
        "recall at both": round(float((mine > max(cuts.values())).mean()), 4),
    }
