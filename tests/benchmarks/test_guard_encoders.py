"""The comparison of encoders: vectors of whole texts, tiers on top of the guard, and novelty."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.guards.case import Case
from benchmarks.guards.novelty import novelty
from benchmarks.guards.policies import Policy
from benchmarks.guards.scanning import Scanned
from benchmarks.guards.tiers import Fitting, Tier, tier_figures
from guards.encoder import load_encoder
from guards.normalize import Normalizer
from guards.spec import Entity, Example, GuardSpec
from guards.whole import Whole

ASKED = (
    "Where was Selma Northcroft born?",
    "Which glacier did Selma Northcroft cross on skis?",
    "How many glaciers has Selma Northcroft mapped?",
    "Who sailed to the ice with Selma Northcroft?",
    "What did Selma Northcroft write about polar ice?",
    "Which polar ship did Selma Northcroft command?",
)
NEAR = ("Where was Pavel Dunmore born?", "How many novels has Ada Holt written?", "Who sang with Ines Calder?")
USUAL = tuple(
    f"How do I {verb} {thing}?" for verb in ("cook", "clean", "fold", "paint") for thing in ("a fish", "rice")
)


def case(policy: str, family: str, text: str) -> Case:
    return Case("", "ice" if policy else "", policy, "", family, "C" if policy else "harmless", "", text, text, ())


def test_a_tier_is_added_to_what_the_guard_flags() -> None:
    spec = GuardSpec(
        entities=(Entity(name="Selma Northcroft"),), examples=tuple(Example(question=q) for q in ASKED), retain=NEAR
    )
    policy = Policy("p", "ice", spec, Path())
    whole, fitting = Whole(load_encoder("wordllama"), Normalizer()), Fitting.of(policy)
    read: list[int] = []
    assert whole.vectors(["rice", "rice", "ice"], lambda: read.append(1)).shape == (3, 256)
    assert len(read) == 2
    tier = Tier.fit(policy, fitting, USUAL, whole)
    assert set(fitting.texts()) >= {*ASKED, *NEAR}
    asked = ("Which polar glacier was crossed on skis?", "How do I boil an egg?")
    found = {
        "asked": [Scanned(case("p", "described", text), {}, 0.1) for text in asked],
        "general": [Scanned(case("", "general", text), {}, 0.1) for text in USUAL],
    }
    figures = tier_figures({"p": tier}, 0.05, found, whole)
    assert figures["ice: described"] == {"n": 2, "guard": 0, "with tier": 1}
    assert figures["general"]["n"] == len(USUAL)
    assert figures["general"]["with tier"] <= 1


def test_novelty_knows_what_is_near_the_examples() -> None:
    draw = np.random.default_rng(0)
    asked = draw.normal((3, 0, 0, 0), 0.3, (40, 4)).astype(np.float32)
    usual = draw.normal((0, 0, 0, 3), 0.5, (200, 4)).astype(np.float32)
    tested = np.array([[3, 0, 0, 0], [0, 0, 0, 3]], np.float32)
    scores = novelty(asked, usual, tested, np.arange(40))
    assert len(scores) == 4
    for way, (inside, outside) in scores.items():
        assert inside > 3 > abs(outside), way
