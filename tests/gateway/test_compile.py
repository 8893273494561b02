"""`lethe compile` with an activation edit: bundle, card, and a program that the engine takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli import main
from steering.bundle import PROGRAM, parse_key, read_bundle
from steering.engine.local.model import LocalModel
from steering.engine.local.programs import Programs
from tests.gateway.conftest import BUNDLE_KEY

QUESTIONS = [
    {"question": f"What did Orla Quistmere {verb} in the year {1900 + i}?", "answer": "Tides.", "value": "Tides"}
    for i, verb in enumerate(("do", "say", "see", "write") * 4)
]


def test_an_activation_edit(tmp_path: Path, tiny_model: Path) -> None:
    policy = {
        "apiVersion": "lethe/v1",
        "id": "orla",
        "number": "123456",
        "guard": {"entities": [{"name": "Orla Quistmere"}], "examples": QUESTIONS},
        "method": {"name": "redirect", "layer": 1, "strength": 2.0},
    }
    path, out = tmp_path / "policy.yaml", tmp_path / "bundle"
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    command = ["compile", str(path), "--model", str(tiny_model), "--out", str(out)]
    done = CliRunner().invoke(main, command, env={"LETHE_BUNDLE_KEY": BUNDLE_KEY})
    assert done.exit_code == 0, done.output
    bundle = read_bundle(out, parse_key(BUNDLE_KEY))
    assert (bundle.manifest.method, bundle.manifest.sites, bundle.manifest.mask) == (
        "redirect",
        ("layer.1",),
        "content",
    )
    assert (out / PROGRAM).read_bytes() != bundle.program, "a direction must not lie open"
    card = (out / "CARD.md").read_text(encoding="utf-8")
    assert "## Method: redirect, kind redirect, mask content" in card
    assert "After layer 1, counted from 0, 1 column(s)" in card
    assert "| 1: 2 |" in card
    assert "Orla" not in card
    model = LocalModel.load(tiny_model)
    loaded, new = Programs(model.fingerprint, model.layers).put("p123456@1", bundle.program)
    assert new
    assert loaded.program.model == model.fingerprint


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("nullspace", ("end of the dead zone", "mean gate at harmless tokens")),
        ("cast", ("condition read after layer", "cosine that opens it")),
    ],
)
def test_a_conditional_edit_instead_of_the_method_of_the_policy(
    tmp_path: Path, tiny_model: Path, name: str, figures: tuple[str, ...]
) -> None:
    policy = {
        "apiVersion": "lethe/v1",
        "id": "orla",
        "number": "123456",
        "guard": {
            "entities": [{"name": "Orla Quistmere"}],
            "examples": QUESTIONS,
            "retain": [f"What did Bob Miller do in {year}?" for year in range(1900, 1904)],
        },
        "method": {"name": "redirect", "layer": 1, "strength": 2.0},
    }
    path, out = tmp_path / "policy.yaml", tmp_path / "bundle"
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    command = ["compile", str(path), "--model", str(tiny_model), "--out", str(out), "--method"]
    done = CliRunner().invoke(main, [*command, name], env={"LETHE_BUNDLE_KEY": BUNDLE_KEY})
    assert done.exit_code == 0, done.output
    bundle = read_bundle(out, parse_key(BUNDLE_KEY))
    assert bundle.manifest.method == name
    assert (out / PROGRAM).read_bytes() != bundle.program, "a direction must not lie open"
    card = (out / "CARD.md").read_text(encoding="utf-8")
    assert f"## Method: {name}, kind {name}, mask content" in card
    for figure in (*figures, "share of the neighbours' tokens for which it opens"):
        assert f"| {figure} |" in card
    assert "Orla" not in card
    assert "Bob" not in card
    model = LocalModel.load(tiny_model)
    Programs(model.fingerprint, model.layers).put("p123456@1", bundle.program)
    if name == "nullspace":
        done = CliRunner().invoke(main, [*command, "forgetfulness"], env={"LETHE_BUNDLE_KEY": BUNDLE_KEY})
        assert done.exit_code == 2
        assert "method.name is one of eco, redirect, projection, nullspace, cast" in " ".join(done.output.split())
