"""False positives and recall with 1 to 1,000 active policies, on the same requests.

The first policies are the measured ones. Of the others, about invented authors, some are fitted like any policy; the
rest have their own names, the attributes of a fitted one, and as their linear model that of the same one turned by 45
degrees in a random direction and standardised again, since a thousand fits would take half an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.guards.bounds import false_positives
from benchmarks.guards.case import Case
from benchmarks.guards.fitted import KEY, fitted
from benchmarks.guards.policies import Policy
from benchmarks.guards.scanning import scanned, wrongly
from benchmarks.scale.authors import further
from benchmarks.worlds.templates import VERBAL
from benchmarks.worlds.world import make_world
from guards.calibrate import Corpus
from guards.classifier import worst
from guards.fit import numbered
from guards.guard import Guard, Shared
from guards.normalize import Normalizer
from guards.part import FittedPart
from guards.share import lower
from guards.spec import Entity, Example, GuardSpec

LEVELS = (1, 10, 100, 1000)
SEED = 3


def invented(count: int, retain: Sequence[str]) -> list[Policy]:
    """Policies about authors whom nobody knows, each from its name, a pen name and ten questions."""
    world = make_world(0)
    policies = []
    for place, author in enumerate(further(world, count, SEED)):
        spec = GuardSpec(
            entities=(Entity(name=author.name, aliases=author.aliases[:1], related=(author.aliases[-1],)),),
            examples=tuple(Example(question=wordings[1].format(n=author.name)) for wordings in VERBAL.values()),
            retain=tuple(retain),
        )
        policies.append(Policy(f"{900_000 + place}", "invented", spec, Path()))
    return policies


def fleet(
    first: Mapping[str, bytes],
    others: Sequence[Policy],
    shared: Shared,
    alpha: float,
    harmless: Sequence[Case],
    attacks: Sequence[Case],
    *,
    levels: Sequence[int],
    fits: int,
    folder: Path | None,
    done: Callable[[], object],
) -> dict[str, Any]:
    """Figures by number of policies.

    Args:
        first: parts of the measured policies, in the order in which they become active.
        others: invented policies, of which the first `fits` are fitted; with none, models of `first` are turned.
        attacks: requests that the measured policies must recognise; those of active ones are asked.
        folder: where fitted parts are kept.
        done: called after every request and every fit.
    """
    own = fitted(others[:fits], KEY, folder, done)
    parts = dict(first) | own
    models = [FittedPart.from_bytes(part) for part in (own or first).values()]
    for place, policy in enumerate(others[fits : max(0, max(levels) - len(first))]):
        parts[policy.number] = _turned(models[place % len(models)], policy, place, shared.corpus).to_bytes()
    figures: dict[str, Any] = {}
    alone = next(iter(first))
    for level in levels:
        active = dict(list(parts.items())[:level])
        guard = Guard.from_parts(active, alpha=alpha, shared=shared)
        hits = scanned(guard, harmless, done)
        results = scanned(guard, [case for case in attacks if case.policy in active], done)
        by_class = {kind: [r.caught for r in results if r.case.kind == kind] for kind in ("A", "C")}
        same = [r.caught for r in results if r.case.policy == alone and r.case.kind == "A"]
        found = false_positives([r.caught for r in hits])
        figures[str(level)] = {
            "policies": len(active),
            "fitted": sum(number in first or number in own for number in active),
            "fpr": found["share"],
            "hi": found["hi"],
            "n": found["n"],
            "hits": found["hits"],
            "recall": _share(by_class["A"]),
            "lo": round(lower(sum(by_class["A"]), len(by_class["A"])), 4),
            "n_recall": len(by_class["A"]),
            "recall_first_policy": _share(same),
            "n_first_policy": len(same),
            "recall_class_c": _share(by_class["C"]),
            "worst": wrongly(hits),
        }
    return figures


def _share(caught: Sequence[bool]) -> float | None:
    return round(sum(caught) / len(caught), 4) if caught else None


def _turned(part: FittedPart, policy: Policy, seed: int, corpus: Corpus) -> FittedPart:
    """A part with the names of another policy and a model half of which is random, standardised on benign texts."""
    noise = np.random.default_rng(seed).normal(0, 1, part.weights.shape)
    weights = part.weights / np.linalg.norm(part.weights) + noise / np.linalg.norm(noise)
    best = worst((corpus.vectors @ weights).astype(np.float32), corpus.owners, len(corpus.texts))
    mean, deviation = float(best.mean()), float(best.std())
    return replace(
        part,
        names=numbered(policy.spec, Normalizer()),
        weights=(weights / deviation).astype(np.float32),
        bias=-mean / deviation,
    )
