"""The whole benchmark: train, compile, ask, score, report. `lethe bench leakage` calls `run`."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.leakage.arms import FIRST, METHODS, OUTPUT, arms
from benchmarks.leakage.ask import ask
from benchmarks.leakage.inside import insides
from benchmarks.leakage.policy import harmless_authors, write_policy
from benchmarks.leakage.report import report
from benchmarks.leakage.scorecard import scorecard
from benchmarks.leakage.suite import CORE
from benchmarks.probes.registry import HARMLESS, every
from benchmarks.probes.spec import Family
from benchmarks.probes.tokens import Wording
from benchmarks.where import engine_of, where
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World
from gateway.commands.compile import compile_bundle
from gateway.policy import ForgetPolicy, load_policy
from guards.encoder import load_encoder
from guards.part import FittedPart
from guards.reading import Reader
from steering.activation import Activation
from steering.assistant import Difference
from steering.bundle import CARD, parse_key, read_bundle, write_bundle
from steering.program import AnyProgram, load_program

PARSED = ("--reasoning-parser", "deepseek_r1")
"""vLLM's name for `<think>...</think>` before the answer."""
SHOWN = ("bare", "system_prompt", "output_filter", OUTPUT, FIRST)


def run(
    world: World,
    models: Mapping[str, Path],
    out: Path,
    *,
    tier: str,
    backend: str,
    items: int,
    families: Mapping[str, Family],
    seed: int = 0,
    methods: Sequence[str] = tuple(METHODS),
    reasoning: bool = False,
) -> dict[str, Any]:
    """Measure every arm and write `scorecard.json` and `report.html` to `out`.

    Args:
        world: the world that the models were trained on.
        models: folders of `full`, `retain-a` and `retain-b`.
        out: folder of the results; logs, policies and bundles go to `out/work`.
        tier: of the models, for the record.
        backend: vllm or local.
        items: questions per family, drawn evenly from all forget authors; half as many of every harmless family.
        families: what is asked, see `suite`.
        seed: of the choice of questions and of the bootstrap.
        methods: bundles to compile and to ask; the first method is always among them.
        reasoning: the models think before they answer; vLLM takes their traces apart.
    """
    work, hardware = out / "work", where()
    key = secrets.token_hex(32)
    bundles = compile_bundles(world, models["full"], work, key, (*dict.fromkeys((FIRST, *methods)), "refusal"))
    forget = every(families.values(), world, choose(world.items("forget"), items, seed))
    others = [item for item in world.items("retain") if item.author in harmless_authors(world)]
    strangers = choose(world.items("never"), items // 2, seed)
    harmless = every(HARMLESS.values(), world, [*choose(others, items // 2, seed), *strangers])
    names = tuple(author.name for author in world.split("forget"))
    values = tuple(sorted({value for item in world.items("forget") for value in item.values}))
    asked_through = {**bundles, OUTPUT: enforcing(bundles[FIRST], work / "bundles" / OUTPUT, key)}
    every_arm = arms(names, values, thorough=len(families) > len(CORE))
    chosen = [arm for arm in every_arm if not arm.method or arm.method in asked_through]
    wording = Wording.load(models["full"])
    programs = {name: load_program(read_bundle(bundle, parse_key(key)).program) for name, bundle in bundles.items()}
    extra = (*sites(programs.values()), *(PARSED if reasoning else ()))
    encode, render = wording.encode, wording.render
    asked = ask(chosen, models, asked_through, key, forget, harmless, encode, render, backend, work, extra)
    card = scorecard(asked, families, world, Reader(load_encoder("wordllama")), seed)
    # a model that reasons would not give an answer at once, so scores of plain answers would mean nothing
    for arm, values_inside in ({} if reasoning else insides(world, models, programs, asked)).items():
        card["arms"][arm].update(values_inside)
    card |= {
        "engine": engine_of(backend),
        "hardware": hardware,
        "commit": hardware["commit"],
        "tier": tier,
        "questions_per_family": items,
        "reasoning": reasoning,
    }
    (out / "scorecard.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (out / "report.html").write_text(report(card, SHOWN, FIRST), encoding="utf-8")
    return card


def sites(programs: Iterable[AnyProgram]) -> tuple[str, ...]:
    """The options of an engine that runs the programs: after which layers they edit activations, their assistants."""
    layers: set[int] = set()
    depths: list[int] = []
    for program in programs:
        if isinstance(program, Activation):
            layers |= set(program.edit.sites)
        elif isinstance(program, Difference):
            depths += [program.difference.layers] * len(program.roles)
    given = {"--edit-layers": sorted(layers), "--assistants": depths}
    return tuple(part for name, values in given.items() if values for part in (name, ",".join(map(str, values))))


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


def enforcing(bundle: Path, out: Path, key: str) -> Path:
    """The same policy with its output guard on; one engine serves both, because the program is the same."""
    read = read_bundle(bundle, parse_key(key))
    policy = ForgetPolicy.model_validate_json(read.sensitive["policy"])
    rules = policy.rules.model_copy(update={"output": "enforce"})
    watching = policy.model_copy(update={"rules": rules}).model_dump_json(by_alias=True).encode()
    card = (bundle / CARD).read_text(encoding="utf-8")
    write_bundle(out, read.manifest, read.program, {**read.sensitive, "policy": watching}, card, parse_key(key))
    return out


def compile_bundles(world: World, model: Path, work: Path, key: str, methods: Sequence[str]) -> dict[str, Path]:
    """Bundles by the name of their method, which is one of `METHODS` or `refusal`; all of them hold the same guard."""
    console = Console(stderr=True)
    bundles: dict[str, Path] = {}
    guard: FittedPart | None = None
    for at, name in enumerate(methods):
        method = METHODS.get(name) or {**METHODS[FIRST], "strength": 1.0}
        response = "refusal" if name == "refusal" else "ignorance"
        policy = write_policy(world, work / "policies" / name, method, number=300_000 + at, response=response)
        bundles[name] = work / "bundles" / name
        console.print(f"compiling {name}")
        guard = compile_bundle(
            load_policy(policy), policy.parent, str(model), bundles[name], "auto", parse_key(key), console, guard
        )
    return bundles
