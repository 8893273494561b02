"""Fitting, and refusing to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from guards.dataset import Dataset
from guards.fit import FitError, _crossed, fit, numbered
from guards.intake import IntakeError
from guards.normalize import Normalizer
from guards.part import FittedPart
from guards.spec import Entity, Example, GuardSpec

from .conftest import quiet


def test_figures(part: FittedPart) -> None:
    figures = part.figures
    assert figures["examples"] >= 16
    assert figures["recall"] >= 0.5
    assert figures["false_positives_benign"] <= 0.01
    assert figures["neighbours"] == 12  # the texts of `retain`; frames of examples set no threshold
    assert not any(isinstance(v, str) for v in figures.values())  # they go into a public card


def test_false_positives_are_counted_on_texts_that_set_no_threshold() -> None:
    """In-sample, at most 2 % of the neighbours lie above a threshold that is their own quantile."""
    near = np.tile(np.array([0, 1], np.float32), 100)
    decided = np.zeros(len(near), bool)
    data = SimpleNamespace(
        near=SimpleNamespace(decided=decided, flags=decided), benign=SimpleNamespace(flags=np.zeros(50, bool))
    )
    held = near, near, np.full(50, -1, np.float32)
    flagged, benign = _crossed(cast("Dataset", data), held, (0.02, 0.9), facts=False)
    assert flagged.tolist() == [False, True] * 100
    assert not benign.any()


def test_the_same_key_gives_the_same_part(spec: GuardSpec, part: FittedPart, tmp_path: Path) -> None:
    again = fit(spec, tmp_path, key=b"test key", progress=quiet)
    assert np.allclose(again.weights, part.weights, atol=1e-4)
    assert again.threshold == pytest.approx(part.threshold, abs=1e-3)


def test_files_and_progress(tmp_path: Path) -> None:
    (tmp_path / "asked.jsonl").write_text(
        '{"question": "Who is Zorblax Quint?"}\n\n{"question": "Where is his ship?"}\n'
    )
    (tmp_path / "kept.jsonl").write_text('{"question": "Who is Captain Cook?"}\n')
    spec = GuardSpec(
        entities=(Entity(name="Zorblax Quint"),), examples_file=Path("asked.jsonl"), retain_file=Path("kept.jsonl")
    )
    steps: list[float] = []
    made = fit(spec, tmp_path, key=b"k", progress=lambda _, share: steps.append(share))
    assert made.figures["examples"] == 2
    assert steps == sorted(steps)
    assert steps[-1] == 1


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "asked.jsonl").write_text('{"question": "a b c"}\n{"no": 1}\n')
    spec = GuardSpec(entities=(Entity(name="Zorblax"),), examples_file=Path("asked.jsonl"))
    with pytest.raises(ValueError, match=r"asked\.jsonl line 2: expected a JSON object with a question"):
        fit(spec, tmp_path, key=b"k", progress=quiet)


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(FitError, match="nothing to learn from"):
        fit(GuardSpec(entities=(Entity(name="Zorblax"),)), tmp_path, key=b"k", progress=quiet)


def test_an_ordinary_word_is_no_alias(tmp_path: Path) -> None:
    spec = GuardSpec(
        entities=(Entity(name="Zorblax", aliases=("Quintus", "people")),), examples=(Example(question="Who is it?"),)
    )
    with pytest.raises(IntakeError, match=r"all names: 2; ") as caught:
        fit(spec, tmp_path, key=b"k", progress=quiet)
    assert "people" not in str(caught.value)


def test_aliases_that_are_ordinary_together(tmp_path: Path) -> None:
    words = ("umbrellas", "penguins", "bicycles", "tickets")
    one = GuardSpec(entities=(Entity(name="Zorblax", aliases=words[:1]),), examples=(Example(question="Who is it?"),))
    assert fit(one, tmp_path, key=b"k", progress=quiet).figures["alias_rate_benign"] > 0
    spec = GuardSpec(entities=(Entity(name="Zorblax", aliases=words),), examples=one.examples)
    with pytest.raises(IntakeError, match=r"together occur in .* of harmless texts, more than 0\.1%"):
        fit(spec, tmp_path, key=b"k", progress=quiet)


def test_names_that_fold_alike_share_a_number() -> None:
    spec = GuardSpec(
        entities=(
            Entity(name="Ana Lu", related=("Köln", "koln", "Mr. X")),
            Entity(name="Cy Po", aliases=("MR X",)),
        )
    )
    names = {n.text: n for n in numbered(spec, Normalizer())}
    assert [n.number for n in names.values()] == [0, 1, 2, 3]
    assert "koln" not in names
    assert names["MR X"].kind == "alias"
