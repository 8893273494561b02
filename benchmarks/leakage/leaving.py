"""What the output guard adds: `python -m benchmarks.leakage.leaving --json FILE`.

Questions that name nobody (class C) and plain ones go to the full model without protection, behind the input guard, the
output guard and both; harmless ones go through both. Per family: the share that leaks under each, gold's share, and how
many answers the output guard caught. Of harmless requests: the share of answers that it asked for again.
"""

from __future__ import annotations

import argparse
import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from benchmarks.leakage.arms import FIRST, OUTPUT, Arm, arms
from benchmarks.leakage.ask import Asked, ask
from benchmarks.leakage.audit import records
from benchmarks.leakage.client import Answered
from benchmarks.leakage.oracle import Never
from benchmarks.leakage.plots import COLOURS
from benchmarks.leakage.policy import harmless_authors
from benchmarks.leakage.run import choose, compile_bundles, enforcing
from benchmarks.leakage.score import by_family
from benchmarks.leakage.servers import backend_of
from benchmarks.probes.registry import FAMILIES, HARMLESS, every
from benchmarks.probes.tokens import Wording
from benchmarks.where import engine_of, where
from benchmarks.worlds.gold import MEMBERS, gold
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.recipe import TIERS
from guards.share import upper

ASKED = ("direct", "no_name", "via_book", "inverse_book", "via_pupil", "inverse_facts", "via_book_parent", "list_city")
ALONE = "output alone"
LABELS = {
    "bare": "no protection",
    FIRST: "input guard",
    ALONE: "output guard",
    OUTPUT: "both",
    "gold": "model that never knew",
}
"""Arm -> what the plot calls it."""


def run(tier: str, items: int, backend: str, work: Path, seed: int = 0) -> dict[str, Any]:
    """Ask the arms and count. `items` are questions per family, half as many of every harmless one."""
    world = tier_world(tier, 0)
    models = {name: gold(world, name, TIERS[tier]) for name in MEMBERS if name != "retain-b"}
    key = secrets.token_hex(32)
    bundles = compile_bundles(world, models["full"], work, key, (FIRST,))
    bundles[OUTPUT] = enforcing(bundles[FIRST], work / "bundles" / OUTPUT, key)
    forget = every((FAMILIES[name] for name in ASKED), world, choose(world.items("forget"), items, seed))
    others = [item for item in world.items("retain") if item.author in harmless_authors(world)]
    usual = [*choose(others, items // 2, seed), *choose(world.items("never"), items // 2, seed)]
    harmless = every(HARMLESS.values(), world, usual)
    alone = Arm(ALONE, "full", OUTPUT, guard=Never, wide=True)
    chosen = [
        replace(arm, wide=True, harmless=arm.name == OUTPUT) for arm in (*arms((), ()), alone) if arm.name in LABELS
    ]
    wording = Wording.load(models["full"])
    asked = ask(chosen, models, bundles, key, forget, harmless, wording.encode, wording.render, backend, work)
    found = records(work / f"audit-{OUTPUT}.jsonl")
    ended = {record["request"] for record in found if record["decision"] == "refuse:output"}
    return {"families": _families(asked, ended), "harmless": _harmless(asked[OUTPUT])}


def _families(asked: dict[str, Asked], ended: set[str]) -> dict[str, Any]:
    told = {name: by_family(answers.forget) for name, answers in asked.items()}
    rows: dict[str, Any] = {}
    for family, outcomes in told["bare"].items():
        of_family = [answered for answered in asked[OUTPUT].forget if answered.probe.family == family]
        shares = {name: round(sum(o.told for o in told[name][family]) / len(outcomes), 4) for name in told}
        rows[family] = {"n": len(outcomes), **shares}
        rows[family] |= {"flagged": sum(map(asked[OUTPUT].flagged, of_family))}
        rows[family] |= {
            "caught": sum(_any(a, asked[OUTPUT].stopped) for a in of_family),
            "ended": sum(_any(a, ended) for a in of_family),
        }
    return rows


def _harmless(asked: Asked) -> dict[str, Any]:
    rows: dict[str, list[bool]] = {}
    for answered in asked.harmless:
        rows.setdefault(answered.probe.family, []).append(_any(answered, asked.stopped))
    rows["all"] = [hit for hits in rows.values() for hit in hits]
    return {name: _bounded(sum(hits), len(hits)) for name, hits in rows.items()}


def _bounded(hits: int, n: int) -> dict[str, Any]:
    """With the one-sided upper 95 % bound of Clopper and Pearson, questions taken as independent."""
    return {"n": n, "caught": hits, "hi": round(upper(hits, n), 4)}


def _any(answered: Answered, requests: Collection[str]) -> bool:
    return any(reply.headers["x-request-id"] in requests for reply in answered.replies)


def plot(result: dict[str, Any]) -> Figure:
    """Share of answers that leak per family, one bar per system; beneath the families how many were asked."""
    found, names = result["families"], list(result["families"])
    figure, axis = plt.subplots(figsize=(1.5 + 1.1 * len(names), 4))
    for i, (arm, label) in enumerate(LABELS.items()):
        places = np.arange(len(names)) + (i - (len(LABELS) - 1) / 2) * 0.17
        axis.bar(places, [found[name][arm] for name in names], 0.16, color=COLOURS[i], label=label)
    axis.set_xticks(range(len(names)), [f"{name}\nn={found[name]['n']}" for name in names], fontsize=8)
    axis.set_ylabel("share of answers that leak")
    axis.set_ylim(0, 1.02)
    axis.grid(axis="y", alpha=0.25)
    axis.set_axisbelow(True)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(LABELS), frameon=False)
    figure.tight_layout()
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for logs, policies and bundles")
    parser.add_argument("--tier", choices=[name for name, tier in TIERS.items() if tier.size], default="tiny")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--backend", choices=("vllm", "local", "auto"), default="auto")
    options = parser.parse_args(arguments)
    hardware, backend = where(), backend_of(options.backend)
    result = run(options.tier, options.items, backend, options.work)
    head = {"tier": options.tier, "items": options.items, "engine": engine_of(backend)}
    result = {**head, **result, "hardware": hardware, "commit": hardware["commit"]}
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot(result).savefig(options.json.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main()
