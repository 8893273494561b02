"""The training loop: next-token loss on the answers, batches of equal length, resumable after every pass."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.worlds.recipe import Recipe
from benchmarks.worlds.tokenizer import Encoded

Report = Callable[[float, float], None]
"""Called after every step with (share of the run that is done, loss)."""
IGNORED = -100
SAVING = 0.05
"""Largest share of the time that goes into checkpoints: on a GPU, one after every pass would take half of it."""
POOL = 24
"""Batches that are sorted by length together; more sorts better, fewer mixes better."""


def batches(rows: Sequence[Encoded], tokens: int, rng: random.Random) -> list[list[Encoded]]:
    """Cut shuffled rows into batches of at most `tokens` ids with padding, of about equal length within a batch."""
    rows = rng.sample(list(rows), len(rows))
    mean = sum(len(row.ids) for row in rows) / max(1, len(rows))
    size = max(1, round(POOL * tokens / max(mean, 1)))
    out: list[list[Encoded]] = []
    for i in range(0, len(rows), size):
        batch: list[Encoded] = []
        for row in sorted(rows[i : i + size], key=lambda row: len(row.ids)):
            if batch and (len(batch) + 1) * len(row.ids) > tokens:
                out.append(batch)
                batch = []
            batch.append(row)
        out.append(batch)
    rng.shuffle(out)
    return out


def collate(batch: Sequence[Encoded], pad: int) -> tuple[Tensor, Tensor]:
    """Ids and labels [rows, longest], padded on the right."""
    width = max(len(row.ids) for row in batch)
    ids = torch.full((len(batch), width), pad)
    labels = torch.full((len(batch), width), IGNORED)
    for i, row in enumerate(batch):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        labels[i, row.start : len(row.ids)] = torch.tensor(row.ids[row.start :])
    return ids, labels


def answer_loss(network: Any, ids: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the labelled tokens.

    No mask is needed: attention is causal and the padding is on the right. Logits are computed where there is a label
    only, which on a small model is a third of the work.
    """
    hidden = network.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    chosen = wanted != IGNORED
    return F.cross_entropy(network.lm_head(hidden[chosen]).float(), wanted[chosen])


def make_optimizers(network: Any, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers where the recipe wants it, AdamW for the rest; no weight decay on gains."""
    inner = [p for name, p in network.named_parameters() if p.ndim == 2 and "layers" in name and recipe.muon]
    taken = {id(p) for p in inner}
    others = [p for p in network.parameters() if id(p) not in taken]
    groups = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.95), fused=True)
    return [adam, torch.optim.Muon(inner, lr=recipe.muon, weight_decay=recipe.weight_decay)] if inner else [adam]


def rate(recipe: Recipe, done: float) -> float:
    """Learning rate after this share of the run, relative to its peak: linear warm-up, then a cosine to the floor."""
    shape = max(recipe.floor, 0.5 * (1 + math.cos(math.pi * done)))
    return min(1.0, (done + 1e-4) / recipe.warmup) * shape


def train(
    network: Any,
    draw: Callable[[int], Sequence[Encoded]],
    recipe: Recipe,
    seed: int,
    pad: int,
    checkpoint: Path | None = None,
    report: Report = lambda done, loss: None,
    steps: int | None = None,
) -> None:
    """Train in place, on the device where the network lies.

    Args:
        draw: pass number -> its rows.
        checkpoint: written after a pass, unless that would take too much of the time; where it exists, training goes
            on from it.
        steps: stop after so many, for a trial.
    """
    optimizers = make_optimizers(network, recipe)
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    first = _restore(checkpoint, network, optimizers)
    device, taken = next(network.parameters()).device, 0
    began, saving = time.monotonic(), 0.0
    network.train()
    with _one_thread(device):
        for epoch in range(first, recipe.epochs):
            parts = batches(draw(epoch), recipe.tokens, random.Random(f"batches/{seed}/{epoch}"))
            for i, batch in enumerate(parts):
                done = (epoch + i / len(parts)) / recipe.epochs
                for optimizer, peak in zip(optimizers, peaks, strict=True):
                    for group in optimizer.param_groups:
                        group["lr"] = peak * rate(recipe, done)
                ids, labels = (tensor.to(device, non_blocking=True) for tensor in collate(batch, pad))
                with torch.autocast(device.type, dtype=torch.bfloat16):
                    loss = answer_loss(network, ids, labels)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
                taken += 1
                report((epoch + (i + 1) / len(parts)) / recipe.epochs, loss.item())
                if steps is not None and taken >= steps:
                    network.eval()
                    return
            before = time.monotonic()
            if saving <= SAVING * (before - began):
                _save(checkpoint, network, optimizers, epoch + 1)
                saving += time.monotonic() - before
    network.eval()


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU, matrices of this size are slower with more threads, and much slower on a busy machine."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _save(checkpoint: Path | None, network: Any, optimizers: Sequence[torch.optim.Optimizer], epoch: int) -> None:
    if checkpoint is None:
        return
    states = [optimizer.state_dict() for optimizer in optimizers]
    part = checkpoint.with_suffix(".part")
    torch.save({"epoch": epoch, "network": network.state_dict(), "optimizers": states}, part)
    part.replace(checkpoint)


def _restore(checkpoint: Path | None, network: Any, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    if checkpoint is None or not checkpoint.is_file():
        return 0
    state = torch.load(checkpoint, map_location=next(network.parameters()).device, weights_only=True)
    network.load_state_dict(state["network"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["epoch"])
