"""What another precision does to a policy: leakage with the numbers of float32, and with those found again.

    python -m benchmarks.precision --json FILE [--methods "eco noise,redirect,nullspace"] [--questions 60]

The generated authors and the model that learned them (`benchmarks.methods`), every question taken as caught. Methods
are fitted in float32. Served are the same weights in bfloat16, projections in int8 (`int8 weights`, computed in
float32), and int8 for the activations before them as well (`int8 both`). `old` is the program as it was, which an
engine refuses; `new` is what `lethe compile --recalibrate` makes of it. `dose` is the strength of the old one in the
norms of the model that is served.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.forgetting import rate
from benchmarks.methods import SPECS, Target, drawn, said, world
from benchmarks.metrics.leak import leaks
from benchmarks.precision_plot import plot
from benchmarks.quantised import int8
from benchmarks.where import where
from benchmarks.worlds.gold import gold
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.recipe import TIERS
from gateway.commands.compile import tells
from steering.activation import Activation
from steering.engine.local.model import LocalModel
from steering.methods import fitting
from steering.methods.recalibrate import recalibrate
from steering.program import AnyProgram, Program
from steering.spec import Mask, MethodSpec


def variants(folder: Path, scratch: Path) -> dict[str, LocalModel]:
    """The model in every precision."""
    return {
        "bfloat16": LocalModel.load(folder, "bfloat16"),
        "int8 weights": LocalModel.load(int8(folder, scratch / "weights", activations=False)),
        "int8 both": LocalModel.load(int8(folder, scratch / "both", activations=True)),
    }


def moved(program: AnyProgram, model: LocalModel) -> AnyProgram:
    """The program with its old numbers, as if it had been fitted for `model`."""
    if isinstance(program, Program):
        return replace(program, eco=program.eco.model_copy(update={"model": model.fingerprint}))
    if isinstance(program, Activation):
        return replace(program, edit=program.edit.model_copy(update={"model": model.fingerprint}))
    return replace(program, difference=program.difference.model_copy(update={"model": model.fingerprint}))


def leakage(target: Target, model: LocalModel, program: AnyProgram | None, mask: Mask) -> dict[str, Any]:
    """Shares of the held-out questions whose value is told, in the greedy answer and in any of 16."""
    answers = zip(target.held, said(model, target.held, program, mask), strict=True)
    many = [
        any(leaks(answer, q.values, q.text) for answer in drawn(model, q, program, mask, seed))
        for seed, q in enumerate(target.held)
    ]
    size = len(target.held)
    return {
        "leak@1": rate(sum(leaks(answer, q.values, q.text) for q, answer in answers), size),
        "leak@16": rate(sum(many), size),
    }


def report(target: Target, served: dict[str, LocalModel], chosen: dict[str, MethodSpec]) -> dict[str, Any]:
    """One row per method and precision."""
    rows: dict[str, Any] = {
        "bare": {
            name: leakage(target, model, None, "content")
            for name, model in ({"float32": target.model} | served).items()
        }
    }
    for name, spec in chosen.items():
        print(name, file=sys.stderr, flush=True)
        settings = target.given, target.values, spec, tells, lambda *_: None, target.harmless
        program = fitting.fit(target.model, *settings).program
        strength = fitting.describe(program, target.model)["strength"]
        rows[name] = {"float32": {"new": leakage(target, target.model, program, spec.mask), "strength": strength}}
        for precision, model in served.items():
            print(f"{name}, {precision}", file=sys.stderr, flush=True)
            found = recalibrate(model, program, *settings)
            rows[name][precision] = {
                "old": leakage(target, model, moved(program, model), spec.mask),
                "new": leakage(target, model, found.fitted.program, spec.mask),
                "dose": found.dose,
                "strength": fitting.describe(found.fitted.program, model)["strength"],
            }
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--tier", default="tiny", choices=sorted(TIERS))
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--methods", default="eco noise,redirect,nullspace")
    options = parser.parse_args()
    chosen = options.methods.split(",")
    if unknown := set(chosen) - SPECS.keys():
        parser.error(f"--methods: {', '.join(sorted(unknown))} is none of {', '.join(SPECS)}")
    with torch.no_grad(), TemporaryDirectory() as scratch:
        target = world(options.tier, options.questions)
        served = variants(gold(tier_world(options.tier, 0), "full", TIERS[options.tier]), Path(scratch))
        rows = report(target, served, {name: SPECS[name] for name in chosen})
    result = {"questions": len(target.held), "methods": rows, "where": where()}
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot(result, options.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
