"""The benchmark of precisions on the small world: refused as it was, served as it became, and both are reported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.methods import world
from benchmarks.precision import moved, report
from benchmarks.precision_plot import plot
from benchmarks.worlds.gold import gold
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.recipe import TIERS
from steering.engine.local.model import LocalModel
from steering.engine.local.programs import Programs
from steering.methods import fitting
from steering.program import ProgramError
from steering.spec import RedirectSpec


def test_bfloat16(tmp_path: Path) -> None:
    spec = RedirectSpec(name="redirect", layer=1, strength=1.4)
    half = LocalModel.load(gold(tier_world("small", 0), "full", TIERS["small"]), "bfloat16")
    table = Programs(half.fingerprint, half.layers)
    with torch.no_grad():
        target = world("small", 4)
        rows = report(target, {"bfloat16": half}, {"redirect": spec})
        never = fitting.fit(target.model, target.given, (), spec, lambda *_: False, lambda *_: None)
    with pytest.raises(ProgramError, match="--recalibrate"):
        table.put("p100001@1", never.program.to_bytes())
    table.put("p100001@1", moved(never.program, half).to_bytes())
    row = rows["redirect"]
    assert row["float32"]["strength"] == row["bfloat16"]["strength"] == 1.4
    assert row["bfloat16"]["dose"] == pytest.approx(1.4, rel=0.02)
    assert row["bfloat16"]["dose"] != 1.4
    for which in ("old", "new"):
        assert row["bfloat16"][which]["leak@16"]["n"] == len(target.held)
        assert row["bfloat16"][which]["leak@1"]["share"] <= rows["bare"]["bfloat16"]["leak@16"]["share"]
    plot({"questions": len(target.held), "methods": rows}, tmp_path / "precision.png")
    assert (tmp_path / "precision.png").stat().st_size > 1000
