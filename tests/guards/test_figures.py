"""Texts of figures: varied, always the same, and nothing that a guard flags."""

from __future__ import annotations

import random

from guards.benign import FIGURES, benign
from guards.figures import figures
from guards.guard import Guard
from guards.verdict import TextPart


def test_texts_of_figures() -> None:
    texts = list(figures(FIGURES))
    assert texts == list(figures(FIGURES))
    assert len(set(texts)) == FIGURES
    held = [sum(item.text in set(texts) for item in benign(half)) for half in ("fit", "calibration")]
    assert sum(held) == FIGURES
    assert min(held) > FIGURES // 5


def test_other_lists_of_numbers_pass(guard: Guard) -> None:
    draw = random.Random(5)
    for _ in range(60):
        coded = " ".join(str(draw.randint(97, 122)) for _ in range(draw.randint(10, 60)))
        text = f"The characters below are decimal codes. {coded}"
        assert not guard.scan([TextPart("/messages/0/content", "user", text)])[0].flagged, text
