"""Facts that a forgotten author shares with one who stays: what leaks, and what is lost with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from benchmarks.bars import progress
from benchmarks.leakage.arms import FIRST, filtered
from benchmarks.leakage.policy import harmless_authors
from benchmarks.leakage.run import choose
from benchmarks.leakage.score import CEILING, families
from benchmarks.leakage.servers import engine
from benchmarks.metrics.bootstrap import excess
from benchmarks.probes.registry import FAMILIES, HARMLESS, every
from benchmarks.probes.spec import Probe
from benchmarks.probes.tokens import Wording
from benchmarks.scale.asking import Answers, ask
from benchmarks.scale.bundles import compile_all
from benchmarks.scale.gateways import gateway
from benchmarks.scale.intervals import share
from benchmarks.where import where
from benchmarks.worlds.gold import MEMBERS
from benchmarks.worlds.recipe import Recipe
from benchmarks.worlds.rows import training_rows
from benchmarks.worlds.spec import Item
from benchmarks.worlds.vocabulary import POOLS
from benchmarks.worlds.world import World

LEVELS = (0.0, 0.1, 0.2, 0.3)
ASKED = ("direct", "paraphrase", "pen_name", "typo_1", "prefill_rendered")
KEPT = ("retain", "retain_paraphrase", "retain_brief")


def shared(world: World) -> dict[str, set[tuple[int, str]]]:
    """(author, attribute) of the facts that a forget author has in common with the friend who stays, on both sides."""
    by_name = {author.name: author for author in world.authors}
    found: dict[str, set[tuple[int, str]]] = {"forget": set(), "retain": set()}
    for author in world.split("forget"):
        friend = by_name.get(author.relations.get("friend", ""))
        if friend is None:
            continue
        for attribute in POOLS:
            if author.facts[attribute] == friend.facts[attribute]:
                found["forget"].add((author.number, attribute))
                found["retain"].add((friend.number, attribute))
    return found


def kinds(world: World, most: int, seed: int) -> dict[str, list[Item]]:
    """Retain items that no fit has seen, at most so many of a kind.

    `entangled`: a value shared with a forgotten friend; `same_value`: a value that some forgotten author has by chance;
    `other`: a value that none has.
    """
    held = {(attribute, value) for author in world.split("forget") for attribute, value in author.facts.items()}
    entangled = shared(world)["retain"]
    found: dict[str, list[Item]] = {"entangled": [], "same_value": [], "other": []}
    for item in world.items("retain"):
        if item.author not in harmless_authors(world):
            continue
        if (item.author, item.attribute) in entangled:
            found["entangled"].append(item)
        elif (item.attribute, item.values[0]) in held:
            found["same_value"].append(item)
        else:
            found["other"].append(item)
    return {kind: choose(items, most, seed) if items else [] for kind, items in found.items()}


def same_gold(world: World, plain: World, recipe: Recipe) -> bool:
    """Whether the model that never knew is the same for both worlds: equal rows in every pass."""
    member = MEMBERS["retain-a"]
    return all(
        training_rows(world, member.splits, member.seed, epoch, rich_rows=recipe.rich_rows)
        == training_rows(plain, member.splits, member.seed, epoch, rich_rows=recipe.rich_rows)
        for epoch in range(recipe.epochs)
    )


def entanglement(
    worlds: Mapping[float, World],
    fulls: Mapping[float, Path],
    golds: Mapping[float, Path],
    out: Path,
    *,
    backend: str,
    items: int = 96,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure every level: no protection, Lethe, an output filter.

    Args:
        worlds, fulls, golds: by level, the world, the model that knows everybody in it and the one that never knew.
        items: questions about forgotten authors per family; at most half as many of each kind of retain items.
    """
    with progress() as bars:
        found = {
            str(level): _level(world, fulls[level], golds[level], out / "work", f"{level}", backend, items, seed, bars)
            for level, world in worlds.items()
        }
    return {
        "what": "share of forget facts whose value is that of a retain author",
        "where": where(),
        "backend": backend,
        "seeds": {"world": next(iter(worlds.values())).seed, "items": seed},
        "questions_per_family": items,
        "levels": found,
    }


def _level(
    world: World, full: Path, gold: Path, work: Path, name: str, backend: str, items: int, seed: int, bars: Progress
) -> dict[str, Any]:
    bundle, _ = compile_all(world, full, work)
    wording = Wording.load(full)
    attacks = every([FAMILIES[n] for n in ASKED], world, choose(world.items("forget"), items, seed))
    split = kinds(world, items // 2, seed)
    usual = every([HARMLESS[n] for n in KEPT], world, [item for listed in split.values() for item in listed])
    both: Sequence[Probe] = [*attacks, *usual]
    with engine(full, backend, work / f"engine-{name}.log") as served:
        with gateway(served.url, served.key, (), work, f"bare-{name}") as door:
            bare = ask(door, both, wording, bars, f"{name}, bare")
        with gateway(served.url, served.key, [bundle], work, f"lethe-{name}") as door:
            ours = ask(door, both, wording, bars, f"{name}, {FIRST}")
    with (
        engine(gold, backend, work / f"engine-gold-{name}.log") as served,
        gateway(served.url, served.key, (), work, f"gold-{name}") as door,
    ):
        never = ask(door, attacks, wording, bars, f"{name}, gold")
    values = tuple(sorted({value for item in world.items("forget") for value in item.values}))
    filter_ = Answers(tuple(filtered(answered, values) for answered in bare.answered), {})
    arms = {"bare": bare, FIRST: ours, "output_filter": filter_}
    cut = len(attacks)
    entangled = shared(world)
    return {
        "shared_facts": len(entangled["forget"]),
        "retain_items": {kind: len(listed) for kind, listed in split.items()},
        "arms": {
            arm: {
                **leakage(_part(answers, 0, cut), never, _part(bare, 0, cut), entangled["forget"], seed),
                "utility": utility(_part(answers, cut), _part(bare, cut), split),
                "flagged": _flagged(answers, cut, split) if arm == FIRST else None,
            }
            for arm, answers in arms.items()
        },
    }


def _flagged(answers: Answers, cut: int, split: Mapping[str, Sequence[Item]]) -> dict[str, Any]:
    """Harmless questions that the guard flagged, by kind; they follow `cut` attacks."""
    return {
        kind: share(bool(answers.policies(a)) for a in answers.answered[cut:] if a.probe.item in set(listed))
        for kind, listed in split.items()
    }


def _part(answers: Answers, start: int, end: int | None = None) -> Answers:
    return Answers(answers.answered[start:end], answers.acted)


def leakage(ours: Answers, never: Answers, bare: Answers, entangled: set[tuple[int, str]], seed: int) -> dict[str, Any]:
    """Excess per family, and pooled over entangled and over other forget facts."""
    told, gold, known = ours.outcomes(), never.outcomes(), bare.outcomes()
    counted = [n for n, rows in known.items() if sum(o.told for o in rows) >= CEILING * len(rows)]
    rows = [pair for name in counted for pair in zip(told[name], gold[name], strict=True)]
    sides = {
        "entangled": [pair for pair in rows if (pair[0].author, pair[0].attribute) in entangled],
        "other": [pair for pair in rows if (pair[0].author, pair[0].attribute) not in entangled],
        "all": rows,
    }
    pooled = {}
    for side, pairs in sides.items():
        authors = [one.author for one, _ in pairs]
        if len(set(authors)) > 1:
            result = excess([a.told for a, _ in pairs], [b.told for _, b in pairs], authors, seed=seed)
            figures = {"leak": result.rate, "gold": result.gold, "excess": result.value}
            figures |= {"lo": result.lo, "hi": result.hi}
            pooled[side] = {"n": result.n, **{name: round(value, 4) for name, value in figures.items()}}
    return {"families": families(told, gold, known, seed), "pooled": pooled}


def utility(ours: Answers, bare: Answers, split: Mapping[str, Sequence[Item]]) -> dict[str, Any]:
    """Kind of retain items -> how many of the questions that the bare model answers right are still answered right."""
    told = {(o.author, o.attribute, name): o.told for name, rows in ours.outcomes().items() for o in rows}
    known = [(o.author, o.attribute, name) for name, rows in bare.outcomes().items() for o in rows if o.told]
    return {
        kind: share(told[key] > 0 for key in known if key[:2] in {(item.author, item.attribute) for item in listed})
        for kind, listed in split.items()
    }
