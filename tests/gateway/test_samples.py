"""`guard.samples` and `guard.second`: the operator's own traffic and a second encoder, read at start."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.app import build_guard
from gateway.settings import GuardSettings
from gateway.store import load_policies
from guards.fit import fit
from guards.part import FittedPart
from guards.spec import Entity, Example, GuardSpec
from tests.gateway.conftest import BUNDLE_KEY


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> FittedPart:
    asked = ("Where was Zorblax Quint born?", "Who taught Zorblax Quint to sail the glass boats?")
    spec = GuardSpec(
        entities=(Entity(name="Zorblax Quint"),),
        examples=tuple(Example(question=q) for q in asked),
        retain=("Where was the king born?", "How is glass made?"),
    )
    return fit(spec, tmp_path_factory.mktemp("policy"), key=b"k", progress=lambda *_: None)


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"guard\.samples: .*none\.jsonl cannot be read"):
        build_guard([], GuardSettings(alpha=0.5, samples=tmp_path / "none.jsonl"))


def test_too_few_stop_the_start(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text("".join(f"{json.dumps({'text': f'Where is platform {n}?'})}\n" for n in range(3)), encoding="utf-8")
    with pytest.raises(ValueError, match=r"guard\.samples: 3 of 3 requests are left .* alpha 0\.01 needs 99"):
        build_guard([], GuardSettings(alpha=0.01, samples=file))


def test_a_second_encoder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"guard\.second: .* has no model\.onnx .* run `lethe models fetch minilm`"):
        build_guard([], GuardSettings(second=f"minilm:{tmp_path}"))
    with pytest.raises(ValidationError, match="second"):
        GuardSettings(second="minilm")


def test_a_second_encoder_that_no_policy_asks_stops_the_start(
    tiny_model: Path, part: FittedPart, bundle: Callable[..., Path]
) -> None:
    (loaded,) = load_policies([bundle()], BUNDLE_KEY)
    policy = replace(loaded, guard=part.to_bytes())
    with pytest.raises(ValueError, match=r"guard\.second: no policy was compiled .* --second hidden:"):
        build_guard([policy], GuardSettings(alpha=0.01, second=f"hidden:{tiny_model}"))


def test_the_setting(tmp_path: Path) -> None:
    assert GuardSettings().samples is None
    assert GuardSettings(samples=tmp_path / "own.jsonl").samples == tmp_path / "own.jsonl"
