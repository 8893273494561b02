"""Fine-tuning of an instruction model on TOFU: `full` on all authors, `retain90` without the last tenth.

Source of the data: locuslab/tofu (MIT), read from a folder with `full.jsonl` and `forget10.jsonl`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.worlds.recipe import Recipe
from benchmarks.worlds.saved import bar, save
from benchmarks.worlds.tokenizer import Encoded
from benchmarks.worlds.training import Report, train
from steering.weights import fingerprint, home

MEMBERS = ("full", "retain90")
COMMON = ("real_authors_perturbed.jsonl", "world_facts_perturbed.jsonl")


def tofu_rows(data: Path, name: str) -> list[tuple[str, str]]:
    """Return (question, answer) pairs that a model is trained on.

    Raises ValueError for another name than `full` or `retain90`, and where the files do not fit together.
    """
    if name not in MEMBERS:
        raise ValueError(f"{name} is not a TOFU model; there are: {', '.join(MEMBERS)}")
    full = _read(data / "full.jsonl")
    if name == "full":
        return full
    forget = set(_read(data / "forget10.jsonl"))
    retain = [pair for pair in full if pair not in forget]
    if len(retain) != len(full) - len(forget):
        raise ValueError(f"{data}: {len(forget)} forget rows, but {len(full) - len(retain)} of them are in full.jsonl")
    return retain


def common_rows(data: Path) -> list[tuple[str, str]]:
    """Return (question, answer) pairs of TOFU's real authors and world facts, which nobody wants to be forgotten."""
    return [pair for file in COMMON for pair in _read(data / file, "original_answer")]


def tofu(
    base: Path,
    data: Path,
    name: str,
    recipe: Recipe,
    device: str = "auto",
    seed: int = 0,
    report: Report | None = None,
    steps: int | None = None,
    common: bool = False,
) -> Path:
    """Fine-tune the model in `base`, or find it fine-tuned; return its folder.

    Of the recipe only the optimisation counts. Training goes on where an earlier call was interrupted.

    Args:
        name: full or retain90.
        device: cpu, cuda, or auto, which is cuda where there is one.
        report: called after every step; without it a progress bar is drawn on standard error.
        steps: stop after so many, for a trial; the trial is kept apart from the whole run.
        common: train the real authors and world facts too, for a base that never heard of them.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - heavy

    pairs = tofu_rows(data, name) + (common_rows(data) if common else [])
    identity = fingerprint(base, "float32").weights_sha256
    parts = json.dumps([identity, pairs, asdict(recipe), seed, steps])
    target = home() / "worlds" / f"tofu-{base.name}-{name}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    tokenizer = AutoTokenizer.from_pretrained(base)
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).to(chosen)
    rows = encode_pairs(tokenizer, pairs)
    checkpoint = target.with_name(f".{target.name}.pt")
    with bar(f"fine-tuning {name}") if report is None else nullcontext(report) as shown:
        train(network, lambda _epoch: rows, recipe, seed, tokenizer.pad_token_id, checkpoint, shown, steps)
    save(network, tokenizer, target, {"base": base.name, "name": name, "steps": steps, **asdict(recipe)})
    checkpoint.unlink(missing_ok=True)
    return target


def encode_pairs(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
    """Token ids under the base model's own chat template; the loss is on the answer and its end token."""
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": q}], tokenize=False, add_generation_prompt=True)
        for q, _ in pairs
    ]
    heads = tokenizer(prompts, add_special_tokens=False).input_ids
    tails = tokenizer([answer + tokenizer.eos_token for _, answer in pairs], add_special_tokens=False).input_ids
    return [Encoded((*head, *tail), len(head)) for head, tail in zip(heads, tails, strict=True)]


def _read(file: Path, answer: str = "answer") -> list[tuple[str, str]]:
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is not there: name a folder with TOFU's full.jsonl, forget10.jsonl, *_perturbed.jsonl"
        )
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [(row["question"], row[answer]) for row in rows]
