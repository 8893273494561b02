"""1 to 500 policies on one gateway: whether it still forgets, still answers, and at what cost."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.bars import progress
from benchmarks.leakage.policy import harmless_authors
from benchmarks.leakage.run import choose
from benchmarks.probes.registry import FAMILIES, HARMLESS, every
from benchmarks.scale.authors import further
from benchmarks.scale.bundles import add, compile_all
from benchmarks.scale.detection import NAMED, UNNAMED, detection
from benchmarks.scale.latency import scan_ms, through_http
from benchmarks.scale.levels import groups
from benchmarks.scale.serving import KEPT, serving
from benchmarks.where import where
from benchmarks.worlds.world import World
from guards.guard import Shared
from steering.engine.vllm.table import MAX_PROGRAMS, EditTable
from steering.program import EcoProgram, Program, ProgramError
from steering.spec import ModelFingerprint

LEVELS = (1, 10, 100, 500)
SEED = 1
"""Of the further authors."""
ROUNDS_HTTP, SECONDS_HTTP = 5, 1.0


def policies(
    world: World,
    models: Mapping[str, Path],
    out: Path,
    *,
    backend: str,
    levels: Sequence[int] = LEVELS,
    items: int = 96,
    rounds: int = 200,
    data: Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure all levels; logs and bundles go to `out/work`.

    Args:
        models: folders of `full` and `retain-a`.
        levels: numbers of policies, in the order in which they are served.
        items: questions per family; half as many of a harmless family.
        rounds: scans per guard and length of text.
        data: folder with `truthfulqa/TruthfulQA.csv` and `tofu/*_perturbed.jsonl`, for general harmless questions.
    """
    work = out / "work"
    forget = world.split("forget")
    authors = [*forget, *further(world, max(0, max(levels) - len(forget)), SEED)]
    shared_bundle, compile_s = compile_all(world, models["full"], work)
    with progress() as bars:
        fitting = bars.add_task("fitting guards", total=len(authors))
        added = add(world, authors, shared_bundle, work, lambda: bars.advance(fitting))
        chosen = {level: groups(level, added, len(forget)) for level in levels}
        first = {level: listed[0] for level, listed in chosen.items()}
        shared = Shared.load()
        scanning = bars.add_task("scanning", total=sum(map(len, chosen.values())))
        attacks = every([FAMILIES[n] for n in (*NAMED, *UNNAMED)], world, choose(world.items("forget"), items, seed))
        others = [item for item in world.items("retain") if item.author in harmless_authors(world)]
        known = [*choose(others, items, seed), *choose(world.items("never"), items // 2, seed)]
        usual = every([HARMLESS[n] for n in KEPT], world, known)
        detected = detection(world, chosen, attacks, usual, general(data), shared, lambda: bars.advance(scanning))
        timing = bars.add_task("timing", total=2 + len(levels) + ROUNDS_HTTP)
        scans = scan_ms(first, shared, rounds)
        bars.advance(timing)
        http = through_http(first, work / "stub", ROUNDS_HTTP, SECONDS_HTTP, lambda: bars.advance(timing))
        served = serving(world, models, chosen, backend, items, seed, work, bars)
    return {
        "what": f"{', '.join(map(str, levels))} policies on one gateway, one author each",
        "where": where(),
        "backend": backend,
        "seeds": {"world": world.seed, "further authors": SEED, "items": seed},
        "questions_per_family": items,
        "known_authors": len(forget),
        "adding": {
            "compile_s": round(compile_s, 2),
            "guard_fit_s": round(median(one.fit_s for one in added[: len(forget)]), 2),
            "guards_timed": len(forget),
        },
        "engine_table": table_limit(),
        "levels": {
            str(level): {
                "groups": len(chosen[level]),
                "detection": detected[level],
                "cost": {**scans[level], **http[level]},
                "served": served[level],
            }
            for level in levels
        },
        "no_policies": http[0],
    }


def general(data: Path | None) -> dict[str, list[str]]:
    """Harmless questions of public benchmarks, none of them seen by any fit or calibration; empty without a folder."""
    if data is None:
        return {}
    with (data / "truthfulqa" / "TruthfulQA.csv").open(encoding="utf-8-sig", newline="") as file:
        found = {"truthfulqa": [row["Question"] for row in csv.DictReader(file)]}
    for name in ("world_facts", "real_authors"):
        lines = (data / "tofu" / f"{name}_perturbed.jsonl").read_text(encoding="utf-8").splitlines()
        found[f"tofu_{name}"] = [str(json.loads(line)["question"]) for line in lines if line.strip()]
    return found


def table_limit() -> dict[str, Any]:
    """Load one program after the other into an edit table of the vLLM plug-in until it refuses."""
    model = ModelFingerprint(id="none", weights_sha256="0" * 64, dtype="float32", hidden_size=8)
    eco = EcoProgram(kind="noise", dims=1, strength=1.0, seed=0, model=model)
    data = Program(eco, np.zeros(8, np.float32)).to_bytes()
    table = EditTable(1, 8, torch.device("cpu"), lambda ids: torch.zeros(len(ids), 8), ["embed"])
    for number in range(2 * MAX_PROGRAMS):
        try:
            table.stage(f"p{number:06d}@1", data, "")
        except ProgramError as error:
            return {"programs": len(table.programs), "then": str(error)}
        table.commit(f"p{number:06d}@1", "", table.version)
    raise RuntimeError(f"the edit table took {2 * MAX_PROGRAMS} programs and has no limit any more; say so here")
