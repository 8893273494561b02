"""`lethe compile --recalibrate`: the same policy for the same model in another data type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from gateway.cli import main
from gateway.store import load_policies
from steering.bundle import parse_key, read_bundle
from steering.engine.local.model import LocalModel
from steering.engine.local.programs import Programs
from steering.program import ProgramError
from tests.gateway.conftest import BUNDLE_KEY
from tests.gateway.test_compile import QUESTIONS

POLICY = {
    "apiVersion": "lethe/v1",
    "id": "orla",
    "guard": {"entities": [{"name": "Orla Quistmere"}], "examples": QUESTIONS, "values": ["Tides"]},
    "method": {"name": "redirect", "layer": 1, "strength": 2.0},
    "rules": {"output": "enforce"},
}


def test_a_bundle_is_recalibrated(tmp_path: Path, tiny_model: Path) -> None:
    path, old, out = tmp_path / "policy.yaml", tmp_path / "float32", tmp_path / "bfloat16"
    path.write_text(yaml.safe_dump(POLICY), encoding="utf-8")

    def run(*more: str) -> Result:
        command = ["compile", str(path), "--model", str(tiny_model), *more]
        return CliRunner().invoke(main, command, env={"LETHE_BUNDLE_KEY": BUNDLE_KEY})

    assert run("--out", str(old)).exit_code == 0
    again = "--out", str(out), "--recalibrate", str(old)
    same = run(*again)
    assert same.exit_code == 1
    assert "the same model in the same dtype" in " ".join(same.output.split())
    done = run(*again, "--dtype", "bfloat16")
    assert done.exit_code == 0, done.output
    key = parse_key(BUNDLE_KEY)
    before, after = read_bundle(old, key), read_bundle(out, key)
    assert after.manifest.program_id == before.manifest.program_id, "the number that was drawn stays"
    for part in ("guard", "output"):
        assert after.sensitive[part] == before.sensitive[part]
    served = LocalModel.load(tiny_model, "bfloat16")
    table = Programs(served.fingerprint, served.layers)
    with pytest.raises(ProgramError, match="dtype: bfloat16 != float32"):
        table.put("p100001@1", before.program)
    table.put("p100001@1", after.program)
    assert len(load_policies([out], BUNDLE_KEY)) == 1
    card = (out / "CARD.md").read_text(encoding="utf-8")
    assert "## Recalibrated\nFor bfloat16, not quantised" in card
    assert "from a bundle of version 1 for float32, not quantised" in card
    assert "Strength\n2 there is " in card
    assert "Orla" not in card
    assert "## Recalibrated" not in (old / "CARD.md").read_text(encoding="utf-8")
    figures = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["calibration"]["recalibrated"]
    assert figures["dose"] == pytest.approx(2.0, rel=0.01)

    path.write_text(yaml.safe_dump({**POLICY, "method": {"name": "redirect", "layer": 2}}), encoding="utf-8")
    changed = run(*again, "--dtype", "bfloat16")
    assert changed.exit_code == 1
    assert "the method of this policy is not the one" in " ".join(changed.output.split())
