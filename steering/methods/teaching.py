"""Training an assistant: a truncated copy of the served model, whose embeddings and head stay as they are.

Every answer token has an aim: the token itself, what the served model says there (KL divergence), or nothing in
particular (KL divergence from uniform). Questions and padding have none.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from steering.engine.local.model import LocalModel
from steering.methods.checkpoint import Checkpoint

Aim = Literal["said", "model", "uniform"]
GROUPS: list[tuple[Aim, bool]] = [(aim, told) for aim in ("said", "model", "uniform") for told in (True, False)]
TOKENS = 2048
"""Ids of an optimiser step, padding included."""
WARMUP, PATIENCE, BETTER = 0.05, 3, 0.01
"""Share of the run in which the rate rises; passes without an improvement by the share `BETTER` after which it ends."""

Curve = list[tuple[float, float, float]]
"""Per pass: mean training loss, held-out loss on what must be forgotten, held-out loss on the rest."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Ids of question and answer, where the answer begins, what its tokens aim at, whether it tells the forgotten."""

    ids: tuple[int, ...]
    start: int
    aim: Aim
    forgotten: bool = False


@torch.enable_grad()
def teach(
    model: LocalModel,
    small: Any,
    draw: Callable[[int], Sequence[Lesson]],
    held: Sequence[Lesson],
    *,
    epochs: int,
    rate: float,
    weight: float = 1.0,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Curve:
    """Train `small` in place and leave it in the state that was best on `held`.

    Args:
        draw: pass number -> its lessons.
        rate: peak of AdamW's learning rate, with a linear warm-up and a cosine to zero.
        weight: of the uniform aim.
        checkpoint: written after every pass; where it exists, training goes on from it.
    """
    own = [*small.model.layers.parameters(), *small.model.norm.parameters()]
    for parameter in own:
        parameter.data = parameter.data.float()
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(own, lr=rate, betas=(0.9, 0.95), weight_decay=0.01)
    curve: Curve = []
    best, left = _state(small), PATIENCE
    if checkpoint is not None and (saved := checkpoint.load()) is not None:
        small.model.load_state_dict(saved["network"], strict=False)
        optimizer.load_state_dict(saved["optimizer"])
        curve, best, left = [tuple(row) for row in saved["curve"]], saved["best"], saved["left"]
    small.train()
    for epoch in range(len(curve), epochs if left else 0):
        parts = _batches(draw(epoch), random.Random(f"lessons/{seed}/{epoch}"))
        losses = []
        for i, batch in enumerate(parts):
            done = (epoch + i / len(parts)) / epochs
            optimizer.param_groups[0]["lr"] = (
                rate * min(1.0, (done + 1e-4) / WARMUP) * (1 + math.cos(math.pi * done)) / 2
            )
            found = _losses(model, small, batch)
            loss = torch.stack(
                [(weight if aim == "uniform" else 1.0) * v.mean() for (aim, _), v in found.items()]
            ).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(own, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
            progress((epoch + (i + 1) / len(parts)) / epochs)
        before = min((_total(row, weight) for row in curve), default=math.inf)
        curve.append((sum(losses) / len(losses), *_held(model, small, held)))
        if _total(curve[-1], weight) < before * (1 - BETTER):
            best, left = copy.deepcopy(_state(small)), PATIENCE
        else:
            left -= 1
        if checkpoint is not None:
            state = {"network": _state(small), "optimizer": optimizer.state_dict(), "best": best}
            checkpoint.save({**state, "curve": curve, "left": left})
        if not left:
            break
    small.model.load_state_dict(best, strict=False)
    small.eval().requires_grad_(False)
    progress(1.0)
    return curve


def _total(row: tuple[float, float, float], weight: float) -> float:
    return row[1] + weight * row[2]


def _state(small: Any) -> dict[str, Tensor]:
    return {n: t for n, t in small.model.state_dict().items() if n.startswith(("layers.", "norm."))}


def _batches(lessons: Sequence[Lesson], rng: random.Random) -> list[list[Lesson]]:
    """Lessons of about equal length together, in a random order, at most `TOKENS` ids with padding."""
    out: list[list[Lesson]] = []
    pool = rng.sample(list(lessons), len(lessons))
    for at in range(0, len(pool), 512):
        batch: list[Lesson] = []
        for lesson in sorted(pool[at : at + 512], key=lambda lesson: len(lesson.ids)):
            if batch and (len(batch) + 1) * len(lesson.ids) > TOKENS:
                out.append(batch)
                batch = []
            batch.append(lesson)
        out.append(batch)
    rng.shuffle(out)
    return out


def _losses(model: LocalModel, small: Any, batch: Sequence[Lesson]) -> dict[tuple[Aim, bool], Tensor]:
    """(Aim, whether forgotten) -> loss per answer token, each 0 at best, of what the batch has."""
    width = max(len(lesson.ids) for lesson in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long, device=model.device)
    aims = torch.full((len(batch), width), -1, device=model.device)
    for i, lesson in enumerate(batch):
        ids[i, : len(lesson.ids)] = torch.tensor(lesson.ids)
        aims[i, lesson.start : len(lesson.ids)] = GROUPS.index((lesson.aim, lesson.forgotten))
    # attention is causal and the padding is on the right, so no mask is needed
    chosen, half = aims[:, 1:] >= 0, model.network.dtype != torch.float32
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=half):
        hidden = small.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        logp = torch.log_softmax(small.get_output_embeddings()(hidden[chosen]).float(), dim=1)
    wanted, aim = ids[:, 1:][chosen], aims[:, 1:][chosen]
    out: dict[tuple[Aim, bool], Tensor] = {}
    for number, group in enumerate(GROUPS):
        rows = aim == number
        if not bool(rows.any()):
            continue
        if group[0] == "said":
            out[group] = F.nll_loss(logp[rows], wanted[rows], reduction="none")
        elif group[0] == "uniform":
            out[group] = -logp[rows].mean(dim=1) - math.log(logp.shape[1])
        else:
            with torch.no_grad():
                known = model.network.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
                theirs = torch.log_softmax(model.network.get_output_embeddings()(known[chosen][rows]).float(), dim=1)
            out[group] = F.kl_div(logp[rows], theirs, reduction="none", log_target=True).sum(dim=1)
    return out


@torch.no_grad()
def _held(model: LocalModel, small: Any, held: Sequence[Lesson]) -> tuple[float, float]:
    """Mean loss per token on held-out forgotten lessons, and on the others."""
    small.eval()
    means = []
    for wanted in (True, False):
        total, count = 0.0, 0
        for batch in _batches([lesson for lesson in held if lesson.forgotten == wanted], random.Random(0)):
            for value in _losses(model, small, batch).values() if batch else ():
                total, count = total + float(value.sum()), count + len(value)
        means.append(total / max(1, count))
    small.train()
    return means[0], means[1]
