"""Every tool against every side: the model bare, the model behind a policy, and the model that never knew."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bars import progress
from benchmarks.forgetting import interval
from benchmarks.leakage import servers
from benchmarks.leakage.arms import FIRST, Model
from benchmarks.leakage.audit import records as audited
from benchmarks.leakage.client import Server
from benchmarks.leakage.run import compile_bundles
from benchmarks.outside import garak, inspect_ai, lm_eval
from benchmarks.outside.environments import TOOLS
from benchmarks.outside.questions import Questions, questions
from benchmarks.outside.recipe import Place, Recipe, Score, ToolFailedError, follow
from benchmarks.where import engine_of, where
from benchmarks.worlds.world import World

RECIPES: Mapping[str, Sequence[Recipe]] = {
    "lm_eval": lm_eval.recipes(),
    "inspect": inspect_ai.recipes(),
    "garak": garak.recipes(),
}


@dataclass(frozen=True, slots=True)
class Side:
    """What a tool is run against.

    Attributes:
        name: how the result calls it.
        model: the model behind the gateway.
        protected: whether the gateway has the policy.
        opened: request fields that the gateway opens, which it can while it has no policy.
    """

    name: str
    model: Model
    protected: bool = False
    opened: tuple[str, ...] = ()

    def takes(self, recipe: Recipe) -> bool:
        """Whether a recipe is run here: one side more is there for the fields that it opens only."""
        return self.name != OPENED or bool(recipe.asks_for)


OPENED = "bare, opened"
SIDES = (
    Side("bare", "full"),
    Side(OPENED, "full", opened=("echo",)),
    Side("lethe", "full", protected=True),
    Side("gold", "retain-a", opened=("echo",)),
)


def run(
    world: World,
    models: Mapping[Model, Path],
    out: Path,
    *,
    tools: Sequence[str],
    tier: str,
    backend: str,
    items: int,
    sides: Sequence[Side] = SIDES,
) -> dict[str, Any]:
    """Run the tools and write `outside.json` to `out`; logs and generated files go to `out/work`.

    Args:
        world: the world that the models were trained on.
        models: folders of the models that the sides name.
        out: folder of the result.
        tools: keys of `RECIPES`.
        tier: recorded only.
        backend: vllm or local.
        items: questions about forget authors, and as many about retain authors.
        sides: what the tools are run against.
    """
    work, key = out / "work", secrets.token_hex(32)
    work.mkdir(parents=True, exist_ok=True)
    asked = questions(world, items)
    recipes = [recipe for tool in tools for recipe in RECIPES[tool]]
    bundle = None
    if any(side.protected for side in sides):
        bundle = compile_bundles(world, models["full"], work, key, (FIRST,))[FIRST]
    found: dict[str, dict[str, Any]] = {recipe.name: {} for recipe in recipes}
    with progress() as bars:
        task = bars.add_task("", total=sum(side.takes(recipe) for side in sides for recipe in recipes))
        for model in dict.fromkeys(side.model for side in sides):
            bars.update(task, description=f"starting the engine with {model}")
            with servers.engine(models[model], backend, work / f"engine-{model}.log") as engine:
                for side in (side for side in sides if side.model == model):
                    audit = work / f"audit-{side.name.replace(', ', '-')}.jsonl"
                    audit.unlink(missing_ok=True)
                    behind = bundle if side.protected else None
                    with servers.gateway(engine, behind, key, audit, allow_fields=side.opened) as server:
                        for recipe in filter(side.takes, recipes):
                            bars.update(task, description=f"{side.name}: {recipe.name}")
                            place = _place(work, side, recipe, models["full"])
                            found[recipe.name][side.name] = measure(recipe, place, server, audit, asked)
                            bars.advance(task)
    hardware = where()
    result = {
        "tools": {tool: TOOLS[tool].version for tool in tools},
        "runs": found,
        "questions": {part: len(rows) for part, rows in asked.items()},
        "tier": tier,
        "seed": world.seed,
        "engine": engine_of(backend),
        "hardware": hardware,
        "commit": hardware["commit"],
    }
    (out / "outside.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def measure(recipe: Recipe, place: Place, server: Server, audit: Path, asked: Questions) -> dict[str, Any]:
    """Scores of one run, and what the gateway did with its requests.

    A tool that gives up because the gateway refused everything that it sent is a result: what it said is kept. Raises
    `ToolFailedError` for one that fails otherwise.
    """
    recipe.prepare(place.files, asked)
    before, started = len(audited(audit)), time.monotonic()
    problem: ToolFailedError | None = None
    try:
        scores = {name: _share(score) for name, score in follow(recipe, place, server).items()}
    except ToolFailedError as error:
        scores, problem = {}, error
    records = audited(audit)[before:]
    if problem is not None and not (records and all(record["status"] == 400 for record in records)):
        raise problem
    counted = Counter(f"{record['status']} {record['decision'] or record['problem']}" for record in records)
    return {
        "scores": scores,
        "requests": len(records),
        "outcomes": dict(sorted(counted.items())),
        "seconds": round(time.monotonic() - started, 1),
        "gave_up": None if problem is None else _last_words(problem.tail),
    }


def _last_words(tail: str) -> str:
    """The last line that names an error; a progress bar may stand below it."""
    lines = tail.splitlines() or [""]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1])


def _share(score: Score) -> dict[str, Any]:
    return {"share": round(score.share, 4), "n": score.n, "ci95": interval(round(score.share * score.n), score.n)}


def _place(work: Path, side: Side, recipe: Recipe, tokenizer: Path) -> Place:
    folder = work / side.name.replace(", ", "-") / recipe.name.replace(" ", "-")
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    return Place(files, folder / "out", tokenizer)
