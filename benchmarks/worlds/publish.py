"""Train all models of a tier and put copies where somebody wants them."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from benchmarks.worlds import tofu
from benchmarks.worlds.blank import BLANK, blank
from benchmarks.worlds.gold import MEMBERS, gold
from benchmarks.worlds.recipe import FROM_NOTHING, TIERS, Recipe
from benchmarks.worlds.world import World, make_world
from steering.weights import WeightsError, resolve

SMALL = {"authors": 12, "forget": 3, "never": 3, "neighbours": 1}
"""World of the tier `small`."""


def tier_world(tier: str, seed: int = 0, entanglement: float = 0.0) -> World:
    """The world of a tier: the small one has few authors, all others the default number."""
    sizes = SMALL if tier == "small" else {}
    return make_world(seed, entanglement=entanglement, **sizes)


def train_world(out: Path, tier: str, seed: int, entanglement: float, reasoning: bool, device: str) -> dict[str, Path]:
    """Train full, retain-a and retain-b of a world; return name -> folder under `out`."""
    console, world = Console(stderr=True), tier_world(tier, seed, entanglement)
    folders = {}
    for name in MEMBERS:
        trained = gold(world, name, TIERS[tier], reasoning, device)
        folders[name] = _publish(trained, out / name, console)
    return folders


def train_tofu(out: Path, base: str, data: Path, device: str, steps: int | None) -> dict[str, Path]:
    """Fine-tune a model on TOFU with and without the forget set; return name -> folder under `out`.

    Raises `WeightsError` for a base model that is not there.
    """
    found, recipe, common = tofu_base(base, data)
    console = Console(stderr=True)
    trained = {name: tofu.tofu(found, data, name, recipe, device, steps=steps, common=common) for name in tofu.MEMBERS}
    return {name: _publish(folder, out / name, console) for name, folder in trained.items()}


def tofu_base(base: str, data: Path) -> tuple[Path, Recipe, bool]:
    """Find what is fine-tuned: its folder, the recipe, and whether it must be taught common knowledge as well.

    Besides folders and short names of models, `base` may be one of `blank.BLANK`: an untrained model.
    """
    if base in BLANK:
        return blank(base, tofu.tofu_rows(data, "retain90")), FROM_NOTHING, True
    found = resolve(base)
    if not isinstance(found, Path):
        raise WeightsError(
            f"{base} is neither a model folder nor a known short name nor one of {', '.join(BLANK)} (untrained models)"
        )
    return found, TIERS["tofu"], False


def _publish(trained: Path, target: Path, console: Console) -> Path:
    shutil.copytree(trained, target, dirs_exist_ok=True)
    console.print(f"{target}  (from {trained})", soft_wrap=True)
    return target
