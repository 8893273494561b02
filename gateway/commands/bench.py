"""`lethe bench`: benchmarks of a checkout; the wheel does not hold them."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train and measure benchmark models; needs a checkout of the project.", no_args_is_help=True)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for the models, one sub-folder each.")],
    tier: Annotated[str, typer.Option(help="tiny (CPU, minutes), small (seconds), gpu, or tofu.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Seed of the generated world.")] = 0,
    entanglement: Annotated[float, typer.Option(help="0 to 0.3: forget facts shared with a retain author.")] = 0.0,
    reasoning: Annotated[bool, typer.Option(help="Models that answer after a <think> trace.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    base: Annotated[str, typer.Option(help="Tier tofu: the model to fine-tune.")] = "smollm2-135m-instruct",
    data: Annotated[Path | None, typer.Option(help="Tier tofu: folder with full.jsonl and forget10.jsonl.")] = None,
    steps: Annotated[int | None, typer.Option(help="Tier tofu: stop after so many steps, for a trial.")] = None,
    ceilings: Annotated[bool, typer.Option(help="Ask full and retain-a; write ceilings.json.")] = False,
) -> None:
    """Train the full model and those that never knew; what was trained before comes from the cache."""
    from benchmarks.worlds.recipe import TIERS

    if tier not in TIERS:
        raise typer.BadParameter(f"{tier} is not a tier; use {', '.join(TIERS)}", param_hint="--tier")
    if tier == "tofu":
        if data is None:
            raise typer.BadParameter("the tier tofu reads its rows from a folder: name it", param_hint="--data")
        _tofu(out, base, data, device, steps)
        return
    from benchmarks.worlds.publish import train_world

    try:
        folders = train_world(out, tier, seed, entanglement, reasoning, device)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if ceilings:
        from benchmarks.leakage.ceilings import write_ceilings
        from benchmarks.worlds.publish import tier_world

        write_ceilings(out, folders, tier_world(tier, seed, entanglement))


def _tofu(out: Path, base: str, data: Path, device: str, steps: int | None) -> None:
    from benchmarks.worlds.publish import train_tofu
    from steering.weights import WeightsError

    try:
        train_tofu(out, base, data, device, steps)
    except (WeightsError, ValueError, FileNotFoundError) as error:
        raise typer.BadParameter(str(error)) from None


@app.command()
def leakage(
    out: Annotated[Path, typer.Option(help="Folder for scorecard.json, report.html and, in work/, all logs.")],
    tier: Annotated[str, typer.Option(help="tiny (CPU), small (seconds, knows little), or gpu.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Seed of the generated world.")] = 0,
    backend: Annotated[str, typer.Option(help="vllm, local, or auto: vllm where it is installed.")] = "auto",
    families: Annotated[str, typer.Option(help="narrow, core, all, or names with commas between them.")] = "core",
    items: Annotated[int, typer.Option(min=4, help="Questions per family.")] = 200,
    methods: Annotated[str, typer.Option(help="Bundles to compile, with commas between them; empty: all.")] = "",
    reasoning: Annotated[bool, typer.Option(help="Models that answer after a <think> trace.")] = False,
) -> None:
    """Ask every system for what must be forgotten, in every way; compare with the model that never knew it."""
    from benchmarks.leakage.arms import METHODS
    from benchmarks.leakage.run import run
    from benchmarks.leakage.servers import backend_of
    from benchmarks.leakage.suite import suite
    from benchmarks.leakage.table import markdown
    from benchmarks.worlds.gold import MEMBERS, gold
    from benchmarks.worlds.publish import tier_world
    from benchmarks.worlds.recipe import TIERS

    if tier not in TIERS or TIERS[tier].size is None:
        raise typer.BadParameter(f"{tier} is not a tier of a generated world", param_hint="--tier")
    chosen = tuple(methods.split(",")) if methods else tuple(METHODS)
    unknown = [name for name in chosen if name not in METHODS]
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]} is not a method; there are {', '.join(METHODS)}", param_hint="--methods"
        )
    try:
        asked = suite(families)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--families") from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the engines as Ctrl-C does
    world = tier_world(tier, seed)
    models = {name: gold(world, name, TIERS[tier], reasoning) for name in MEMBERS}
    out.mkdir(parents=True, exist_ok=True)
    card = run(
        world,
        models,
        out,
        tier=tier,
        backend=backend_of(backend),
        items=items,
        families=asked,
        methods=chosen,
        reasoning=reasoning,
    )
    typer.echo(markdown(card))
    typer.echo(f"wrote {out / 'scorecard.json'} and {out / 'report.html'}")


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="A scorecard.json.", exists=True, dir_okay=False)],
    after: Annotated[Path, typer.Argument(help="Another one about the same world.", exists=True, dir_okay=False)],
) -> None:
    """List the families whose excess leak changed by more than both intervals."""
    import json

    from benchmarks.leakage.compare import changes

    try:
        found = list(changes(json.loads(before.read_text()), json.loads(after.read_text())))
    except (KeyError, ValueError) as error:
        raise typer.BadParameter(f"the scorecards cannot be compared: {error}") from None
    for change in found:
        if change.clear:
            typer.echo(f"{change.arm}, {change.family}: {change.before:.2f} -> {change.after:.2f}")
    typer.echo(f"{sum(c.clear for c in found)} of {len(found)} families changed clearly")
