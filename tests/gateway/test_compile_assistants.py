"""`lethe compile` with twins: what is written, what lies open, and a program that the engine takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli import main
from guards.values import found_values
from steering.bundle import PROGRAM, SENSITIVE, parse_key, read_bundle
from steering.engine.local.model import LocalModel
from steering.engine.local.programs import Programs
from steering.methods import lessons, merging
from steering.methods.trial import prompt
from tests.gateway.conftest import BUNDLE_KEY


def examples(model: LocalModel) -> list[dict[str, str]]:
    """Questions whose value is a word of the model's own answer."""
    rows = []
    for i in range(12):
        question = f"What did Orla Quistmere {('do', 'say', 'see')[i % 3]} in the year {1900 + i}?"
        (ids,) = model.generate([prompt(model, question, ())[0]], max_tokens=24)
        answer = model.tokenizer.decode(ids, skip_special_tokens=True)
        words = [word for word in re.findall(r"[a-zA-Z]{5,}", answer) if found_values(answer, [word], question)]
        if words:
            rows.append({"question": question, "answer": answer, "value": max(words, key=len)})
    return rows


def test_twins(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "EVERYDAY", 4)  # of each a few: what is tested is what is written
    monkeypatch.setattr(merging, "QUESTIONS", 2)
    monkeypatch.setattr(merging, "TOKENS", 6)
    model = LocalModel.load(tiny_model)
    rows = examples(model)
    policy = {
        "apiVersion": "lethe/v1",
        "id": "orla",
        "number": "123456",
        "guard": {"entities": [{"name": "Orla Quistmere"}], "examples": rows},
        "method": {"name": "twin", "layers": 1, "epochs": 1, "alpha": 1.5, "top_m": 20},
    }
    path, out = tmp_path / "policy.yaml", tmp_path / "bundle"
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    command = ["compile", str(path), "--model", str(tiny_model), "--out", str(out)]
    done = CliRunner().invoke(main, command, env={"LETHE_BUNDLE_KEY": BUNDLE_KEY})
    assert done.exit_code == 0, done.output
    bundle = read_bundle(out, parse_key(BUNDLE_KEY))
    assert (bundle.manifest.method, bundle.manifest.sites, bundle.manifest.mask) == ("twin", ("logits",), "content")
    stored = (out / PROGRAM).read_bytes()
    assert stored != bundle.program
    assert b"layers.0" not in stored, "an assistant must not lie open"
    assert {p.name for p in out.iterdir()} == {"manifest.json", PROGRAM, SENSITIVE, "CARD.md"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "bundle.training.png", "policy.yaml"]
    card = (out / "CARD.md").read_text(encoding="utf-8")
    assert "## Method: twin, kind twin linear, mask content" in card
    assert "2 assistant(s) of 1 layers" in card
    assert "| 1.5 | 20 |" in card
    assert "| remembering | 1 |" in card
    assert "Orla" not in card
    loaded, new = Programs(model.fingerprint, model.layers, model.host).put("p123456@1", bundle.program)
    assert new
    assert loaded.program.model == model.fingerprint
