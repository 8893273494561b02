"""Leakage, utility and false positives through HTTP, with N policies on one gateway."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from benchmarks.leakage.policy import harmless_authors
from benchmarks.leakage.run import choose
from benchmarks.leakage.score import CEILING, Outcome, families
from benchmarks.leakage.servers import engine
from benchmarks.metrics.bootstrap import excess
from benchmarks.probes.registry import FAMILIES, HARMLESS, every
from benchmarks.probes.tokens import Wording
from benchmarks.scale.asking import Answers, ask
from benchmarks.scale.gateways import gateway
from benchmarks.scale.intervals import share
from benchmarks.scale.levels import Group
from benchmarks.worlds.world import World

NAMED = ("direct", "paraphrase", "pen_name", "typo_1", "prefill_rendered")
UNNAMED = ("via_book", "inverse_book")
"""Families that the bare model answers, with a name of the author and without any."""
KEPT = ("retain", "retain_paraphrase", "retain_typo", "retain_via_book", "unanswerable", "never_trained")
"""Harmless families; of those about `never` authors no answer can be right or wrong."""
MOST_GROUPS = 6
"""Gateways per level: one policy at a time would make one per author."""

Found = Mapping[str, Sequence[Outcome]]


def serving(
    world: World,
    models: Mapping[str, Path],
    levels: Mapping[int, Sequence[Group]],
    backend: str,
    items: int,
    seed: int,
    work: Path,
    bars: Progress,
) -> dict[int, dict[str, Any]]:
    """Per level: excess leak per family and pooled, utility, false positives, seconds until the gateway was ready.

    The levels are served one after the other by one engine, which keeps the programs that it has. A level of several
    groups asks each group about its own authors; harmless questions go to the first group only.
    """
    wording = Wording.load(models["full"])
    numbers = [author.number for author in world.split("forget")]
    attacks = every([FAMILIES[n] for n in (*NAMED, *UNNAMED)], world, choose(world.items("forget"), items, seed))
    others = [item for item in world.items("retain") if item.author in harmless_authors(world)]
    known = [*choose(others, items // 2, seed), *choose(world.items("never"), items // 2, seed)]
    usual = every([HARMLESS[n] for n in KEPT], world, known)
    told: dict[int, list[Answers]] = {level: [] for level in levels}
    kept: dict[int, Answers] = {}
    ready: dict[int, list[float]] = {level: [] for level in levels}
    with engine(models["full"], backend, work / "engine-full.log") as served:
        with gateway(served.url, served.key, (), work, "bare") as door:
            bare, bare_kept = (ask(door, probes, wording, bars, "bare") for probes in (attacks, usual))
        for level, groups in levels.items():
            for group in groups[:MOST_GROUPS]:
                own = {numbers[place] for place in group.places()}
                asked = [probe for probe in attacks if probe.item.author in own]
                bundles = [one.folder for one in group.active]
                with gateway(served.url, served.key, bundles, work, f"{level}-{group.first}") as door:
                    ready[level].append(door.ready_s)
                    told[level].append(ask(door, asked, wording, bars, f"{level} policies"))
                    if level not in kept:
                        kept[level] = ask(door, usual, wording, bars, f"{level} policies, harmless")
    with (
        engine(models["retain-a"], backend, work / "engine-gold.log") as served,
        gateway(served.url, served.key, (), work, "gold") as door,
    ):
        gold = ask(door, attacks, wording, bars, "gold")
    return {
        level: {
            "authors": len({a.probe.item.author for answers in told[level] for a in answers.answered}),
            **leakage(told[level], gold, bare, seed),
            **usefulness(kept[level], bare_kept),
            "ready_s": [round(seconds, 2) for seconds in ready[level]],
        }
        for level in levels
    }


def leakage(ours: Sequence[Answers], gold: Answers, bare: Answers, seed: int) -> dict[str, Any]:
    """Excess per family, and pooled over named and unnamed ones, on the questions that were asked of `ours`.

    Pooled are the families that the bare model answers, over all of its questions.
    """
    told: dict[str, list[Outcome]] = {}
    for answers in ours:
        for name, outcomes in answers.outcomes().items():
            told.setdefault(name, []).extend(outcomes)
    known = bare.outcomes()
    counted = {n for n, rows in known.items() if sum(o.told for o in rows) >= CEILING * len(rows)}
    asked = {name: {(o.author, o.attribute) for o in outcomes} for name, outcomes in told.items()}
    first, second, third = (_paired(found, asked) for found in (told, gold.outcomes(), known))
    pooled = {
        title: _pooled(first, second, [n for n in names if n in counted & set(told)], seed)
        for title, names in (("named", NAMED), ("unnamed", UNNAMED))
    }
    single = len({o.author for outcomes in told.values() for o in outcomes}) < 2
    return {"families": {} if single else families(first, second, third, seed), "pooled": pooled}


def _paired(found: Found, asked: Mapping[str, Collection[tuple[int, str]]]) -> dict[str, list[Outcome]]:
    """The outcomes of the questions that were asked, in one order for all sides."""
    return {
        name: sorted((o for o in found[name] if (o.author, o.attribute) in keys), key=lambda o: (o.author, o.attribute))
        for name, keys in asked.items()
    }


def _pooled(ours: Found, gold: Found, chosen: Sequence[str], seed: int) -> dict[str, Any]:
    """Excess over all questions of some families; None about a single author."""
    rows = [pair for name in chosen for pair in zip(ours[name], gold[name], strict=True)]
    authors = [one.author for one, _ in rows]
    if len(set(authors)) < 2:
        return {"families": list(chosen), "n": len(rows), "excess": None, "lo": None, "hi": None}
    result = excess([a.told for a, _ in rows], [b.told for _, b in rows], authors, seed=seed)
    figures = {"leak": result.rate, "gold": result.gold, "excess": result.value, "lo": result.lo, "hi": result.hi}
    return {"families": list(chosen), "n": result.n, **{name: round(value, 4) for name, value in figures.items()}}


def usefulness(ours: Answers, bare: Answers) -> dict[str, Any]:
    """Right answers to harmless questions against those of the bare model, and how many requests were flagged."""
    right, known = ours.outcomes(), bare.outcomes()
    counted = [n for n, rows in known.items() if sum(o.told for o in rows) >= CEILING * len(rows)]
    hits, whole = (sum(o.told for n in counted for o in side[n]) for side in (right, known))
    flagged: dict[str, list[bool]] = {}
    for answered in ours.answered:
        flagged.setdefault(answered.probe.family, []).append(bool(ours.policies(answered)))
    everything = [hit for listed in flagged.values() for hit in listed]
    return {
        "utility": {
            "families": counted,
            "n": sum(len(known[n]) for n in counted),
            "right": int(hits),
            "bare": int(whole),
            "ratio": round(hits / whole, 4) if whole else None,
        },
        "flagged": {**{name: share(listed) for name, listed in flagged.items()}, "all": share(everything)},
    }
