"""`lethe bench`: benchmarks of a checkout; the wheel does not hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train and measure benchmark models; needs a checkout of the project.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Keeps `train` a sub-command while it is the only one."""


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
    ceilings: Annotated[bool, typer.Option(help="Ask the models in every form; write ceilings.json.")] = False,
) -> None:
    """Train the full model and those that never knew; what was trained before comes from the cache."""
    try:
        from benchmarks.worlds.recipe import TIERS
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"{error.name} is missing: `lethe bench` runs in a checkout with torch and transformers installed"
        ) from None
    if tier not in TIERS:
        raise typer.BadParameter(f"{tier} is not a tier; use {', '.join(TIERS)}", param_hint="--tier")
    if tier == "tofu":
        if data is None:
            raise typer.BadParameter("the tier tofu reads its rows from a folder: name it", param_hint="--data")
        _tofu(out, base, data, device, steps)
        return
    from benchmarks.worlds.publish import train_world

    try:
        train_world(out, tier, seed, entanglement, reasoning, device, ceilings)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _tofu(out: Path, base: str, data: Path, device: str, steps: int | None) -> None:
    from benchmarks.worlds.publish import train_tofu
    from steering.weights import WeightsError

    try:
        train_tofu(out, base, data, device, steps)
    except (WeightsError, ValueError, FileNotFoundError) as error:
        raise typer.BadParameter(str(error)) from None
