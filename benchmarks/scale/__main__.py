"""`python -m benchmarks.scale {policies,entanglement,languages} --tier tiny --out FOLDER`."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.leakage.servers import backend_of
from benchmarks.scale import plots
from benchmarks.scale.entanglement import LEVELS as SHARES
from benchmarks.scale.entanglement import entanglement as measure_entanglement
from benchmarks.scale.entanglement import same_gold
from benchmarks.scale.languages import languages as measure_languages
from benchmarks.scale.policies import LEVELS
from benchmarks.scale.policies import policies as measure_policies
from benchmarks.worlds.gold import gold
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.recipe import TIERS, Recipe
from benchmarks.worlds.world import World

app = typer.Typer(help=__doc__, no_args_is_help=True)
Out = Annotated[Path, typer.Option(help="Folder of the results; logs and bundles go to work/ in it.")]
Tier = Annotated[str, typer.Option(help="tiny (CPU), small (seconds, knows little), or gpu.")]
Seed = Annotated[int, typer.Option(help="Seed of the generated world.")]
Backend = Annotated[str, typer.Option(help="vllm, local, or auto: vllm where it is installed.")]
Items = Annotated[int, typer.Option(min=4, help="Questions per family or language.")]


@app.command()
def policies(
    out: Out,
    tier: Tier = "tiny",
    seed: Seed = 0,
    backend: Backend = "auto",
    items: Items = 96,
    levels: Annotated[str, typer.Option(help="Numbers of policies, with commas between them.")] = ",".join(
        map(str, LEVELS)
    ),
    rounds: Annotated[int, typer.Option(min=5, help="Timed scans per guard and length of text.")] = 200,
    data: Annotated[Path | None, typer.Option(help="Folder with truthfulqa/ and tofu/, for general questions.")] = None,
) -> None:
    """Measure 1 to 500 policies on one gateway."""
    world, recipe = _world(tier, seed)
    try:
        counts = sorted({int(level) for level in levels.split(",")})
    except ValueError:
        raise typer.BadParameter(f"{levels!r} is not a list of numbers", param_hint="--levels") from None
    models = {name: gold(world, name, recipe) for name in ("full", "retain-a")}
    found = measure_policies(
        world, models, out, backend=backend_of(backend), levels=counts, items=items, rounds=rounds, data=data
    )
    _write(out, "scale", found)
    plots.policies(found, out / "scale.png")


@app.command()
def entanglement(
    out: Out,
    tier: Tier = "tiny",
    seed: Seed = 0,
    backend: Backend = "auto",
    items: Items = 96,
    levels: Annotated[str, typer.Option(help="Shares of 0 to 0.3, with commas between them.")] = ",".join(
        map(str, SHARES)
    ),
) -> None:
    """Measure facts that forget and retain authors have in common."""
    plain, recipe = _world(tier, seed)
    try:
        shares = sorted({float(level) for level in levels.split(",")})
        worlds = {share: tier_world(tier, seed, share) for share in shares}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--levels") from None
    fulls = {share: gold(world, "full", recipe) for share, world in worlds.items()}
    # nothing that retain authors' rows say depends on the forget authors, so one model is gold for all levels
    golds = {
        share: gold(plain if same_gold(world, plain, recipe) else world, "retain-a", recipe)
        for share, world in worlds.items()
    }
    found = measure_entanglement(worlds, fulls, golds, out, backend=backend_of(backend), items=items)
    _write(out, "entanglement", found)
    plots.entanglement(found, out / "entanglement.png")


@app.command()
def languages(out: Out, tier: Tier = "tiny", seed: Seed = 0, backend: Backend = "auto", items: Items = 96) -> None:
    """Measure every language and script."""
    world, recipe = _world(tier, seed)
    models = {name: gold(world, name, recipe) for name in ("full", "retain-a")}
    found = measure_languages(world, models, out, backend=backend_of(backend), items=items)
    _write(out, "languages", found)
    plots.languages(found, out / "languages.png")


def _world(tier: str, seed: int) -> tuple[World, Recipe]:
    if tier not in TIERS or TIERS[tier].size is None:
        raise typer.BadParameter(f"{tier} is not a tier of a generated world", param_hint="--tier")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends engines and gateways as Ctrl-C does
    return tier_world(tier, seed), TIERS[tier]


def _write(out: Path, name: str, found: dict[str, Any]) -> None:
    path = out / f"{name}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"wrote {path} and {path.with_suffix('.png')}")


if __name__ == "__main__":
    app()
