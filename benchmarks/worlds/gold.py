"""The models of a world: `full` knows retain and forget authors, `retain-a` and `retain-b` never met a forget author.

A model is an ordinary Hugging Face folder. It is kept under a key made of everything that went into it, so a change of
the world, the rows, the tokenizer or the recipe makes another model, and the same request is answered from disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.worlds.recipe import TIERS, Recipe, Size
from benchmarks.worlds.rows import training_rows
from benchmarks.worlds.saved import bar, save
from benchmarks.worlds.spec import Split
from benchmarks.worlds.tokenizer import Encoded, encode, tokenizer_settings, train_tokenizer
from benchmarks.worlds.training import Report, train
from benchmarks.worlds.world import World
from steering.weights import home

VERSION = 2
"""To be raised when the training loop changes in a way that the recipe does not show."""


@dataclass(frozen=True, slots=True)
class Member:
    """One of the models of a world."""

    splits: tuple[Split, ...]
    seed: int


MEMBERS = {
    "full": Member(("retain", "forget"), seed=0),
    "retain-a": Member(("retain",), seed=0),
    "retain-b": Member(("retain",), seed=1),
}


def key(world: World, name: str, recipe: Recipe, reasoning: bool = False) -> str:
    """SHA-256 of what makes a model: world, first pass of rows, tokenizer settings, recipe and loop."""
    member = MEMBERS[name]
    rows = training_rows(world, member.splits, member.seed, 0, reasoning, recipe.rich_rows)
    parts = [
        VERSION,
        world.digest(),
        asdict(recipe),
        tokenizer_settings(),
        [list(row.messages) for row in rows],
        member.seed,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def folder_of(world: World, name: str, recipe: Recipe, reasoning: bool = False) -> Path:
    """Where the trained model lies, or will lie."""
    variant = "-reasoning" if reasoning else ""
    return home() / "worlds" / f"{recipe.tier}{variant}-{name}-{key(world, name, recipe, reasoning)[:16]}"


def gold(
    world: World,
    name: str,
    recipe: Recipe = TIERS["tiny"],
    reasoning: bool = False,
    device: str = "auto",
    report: Report | None = None,
) -> Path:
    """Train a model of the world, or find it trained; return its folder.

    Training goes on where an earlier call was interrupted.

    Args:
        name: full, retain-a or retain-b.
        device: cpu, cuda, or auto, which is cuda where there is one and the tier is `gpu`.
        report: called after every step; without it a progress bar is drawn on standard error.
    """
    if name not in MEMBERS:
        raise ValueError(f"{name} is not a model of a world; there are: {', '.join(MEMBERS)}")
    size = recipe.size
    if size is None:
        raise ValueError(f"the recipe {recipe.tier} has no size: it fine-tunes a model, see benchmarks.worlds.tofu")
    target = folder_of(world, name, recipe, reasoning)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    member, tokenizer = MEMBERS[name], train_tokenizer(size.vocabulary)
    network = make_network(size, tokenizer, member.seed).to(_device(device, recipe))

    def draw(epoch: int) -> Sequence[Encoded]:
        return encode(tokenizer, training_rows(world, member.splits, member.seed, epoch, reasoning, recipe.rich_rows))

    checkpoint = target.with_name(f".{target.name}.pt")
    with bar(f"training {name}") if report is None else nullcontext(report) as shown:
        train(network, draw, recipe, member.seed, tokenizer.pad_token_id, checkpoint, shown)
    save(network, tokenizer, target, {"world": world.seed, "name": name, "reasoning": reasoning, **asdict(recipe)})
    checkpoint.unlink(missing_ok=True)
    return target


def make_network(size: Size, tokenizer: Any, seed: int) -> Any:
    """An untrained Llama; the seed fixes its weights."""
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415 - heavy

    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=size.context,
        tie_word_embeddings=True,
        initializer_range=size.spread,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # on sequences of thirty tokens plain attention trains 1.6 times as fast as the fused kernel of a CPU
        attn_implementation="eager",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def _device(wanted: str, recipe: Recipe) -> str:
    if wanted != "auto":
        return wanted
    return "cuda" if recipe.tier == "gpu" and torch.cuda.is_available() else "cpu"
