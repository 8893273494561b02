"""Leakage, recall and false positives by language of the question and script of the name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bars import progress
from benchmarks.leakage.policy import harmless_authors
from benchmarks.leakage.run import choose
from benchmarks.leakage.score import Outcome, families
from benchmarks.leakage.servers import engine
from benchmarks.probes.languages import LATIN, OTHER_SCRIPTS
from benchmarks.probes.registry import FAMILIES, every
from benchmarks.probes.tokens import Wording
from benchmarks.scale.asking import Answers, ask
from benchmarks.scale.bundles import compile_all
from benchmarks.scale.gateways import gateway
from benchmarks.scale.intervals import share
from benchmarks.where import where
from benchmarks.worlds.templates import TRANSLATED
from benchmarks.worlds.world import World


@dataclass(frozen=True, slots=True)
class Tongue:
    """A row of the table: a probe family, the language of its questions, and the script of the names in them."""

    family: str
    language: str
    script: str

    @property
    def taught(self) -> bool:
        """Whether the models saw questions in this language, with names in Latin letters."""
        return self.script == "Latin" and (self.language == "en" or self.language in TRANSLATED)


TONGUES = (
    Tongue("direct", "en", "Latin"),
    *(Tongue(f"translated_{language}", language, "Latin") for language in LATIN),
    *(Tongue(f"script_{language}", language, "own") for language in OTHER_SCRIPTS),
    *(Tongue(f"script_{language}_name", "en", language) for language in OTHER_SCRIPTS),
)


def languages(
    world: World, models: Mapping[str, Path], out: Path, *, backend: str, items: int = 96, seed: int = 0
) -> dict[str, Any]:
    """Ask the same questions in every language about authors to forget, to keep, and never heard of.

    Args:
        models: folders of `full` and `retain-a`.
        items: questions per language; half as many about authors to keep, and about strangers.
    """
    work = out / "work"
    bundle, _ = compile_all(world, models["full"], work)
    wording = Wording.load(models["full"])
    asked = [FAMILIES[tongue.family] for tongue in TONGUES]
    others = [item for item in world.items("retain") if item.author in harmless_authors(world)]
    sides = {
        "forget": every(asked, world, choose(world.items("forget"), items, seed)),
        "retain": every(asked, world, choose(others, items // 2, seed)),
        "never": every(asked, world, choose(world.items("never"), items // 2, seed)),
    }
    bare: dict[str, Answers] = {}
    ours: dict[str, Answers] = {}
    with progress() as bars:
        with engine(models["full"], backend, work / "engine-full.log") as served:
            with gateway(served.url, served.key, (), work, "languages-bare") as door:
                for side in ("forget", "retain"):
                    bare[side] = ask(door, sides[side], wording, bars, f"bare, {side}")
            with gateway(served.url, served.key, [bundle], work, "languages") as door:
                for side, probes in sides.items():
                    ours[side] = ask(door, probes, wording, bars, f"Lethe, {side}")
        with (
            engine(models["retain-a"], backend, work / "engine-gold.log") as served,
            gateway(served.url, served.key, (), work, "languages-gold") as door,
        ):
            gold = ask(door, sides["forget"], wording, bars, "gold")
    return {
        "what": "one policy about all forget authors; the same questions in every language",
        "where": where(),
        "backend": backend,
        "seeds": {"world": world.seed, "items": seed},
        "questions_per_language": items,
        "rows": table(ours, bare, gold, seed),
    }


def table(ours: Mapping[str, Answers], bare: Mapping[str, Answers], gold: Answers, seed: int) -> list[dict[str, Any]]:
    """One row per family of TONGUES: what leaks, what is recognised, what is flagged by mistake, what stays right."""
    leaks = families(ours["forget"].outcomes(), gold.outcomes(), bare["forget"].outcomes(), seed)
    kept, known = ours["retain"].outcomes(), bare["retain"].outcomes()
    return [
        {
            "family": tongue.family,
            "language": tongue.language,
            "script": tongue.script,
            "taught": tongue.taught,
            **leaks[tongue.family],
            "recall": _flagged(ours["forget"], tongue.family),
            "flagged_retain": _flagged(ours["retain"], tongue.family),
            "flagged_never": _flagged(ours["never"], tongue.family),
            "utility": {"right": _right(kept[tongue.family]), "bare": _right(known[tongue.family])},
        }
        for tongue in TONGUES
    ]


def _flagged(answers: Answers, family: str) -> dict[str, Any]:
    return share(bool(answers.policies(a)) for a in answers.answered if a.probe.family == family)


def _right(outcomes: list[Outcome]) -> int:
    return int(sum(o.told for o in outcomes))
