"""Which corruption, on which tokens? All kinds and masks on the same held-out questions, on the local engine.

    lethe demo --no-serve --json demo.json
    python -m benchmarks.arms demo.json --json FILE [--policy deploy/examples/harry-potter]

Questions: those of the held-out part that the bare model answers with the asked value and in which the guard finds
a name, 60 of them. Strengths are fixed: noise at 32 mean embedding norms, the others in full. `paper` is the
published setting of ECO (arXiv 2406.07933): first dimension, sigma 1e6, every token of the prompt but the last.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import yaml

from benchmarks.forgetting import distinct, perplexity, rate, repetition, similarities
from benchmarks.where import where
from gateway.policy import load_policy
from guards.encoder import load_encoder
from guards.fit import fit
from guards.guard import Guard
from guards.reading import Reader
from guards.values import found_values
from guards.verdict import TextPart
from steering.engine.local.model import Edit, LocalModel
from steering.methods import trial
from steering.program import EcoProgram, Program

TOKENS = 32
QUESTIONS = 60
ARMS: dict[str, tuple[str, int, float, str]] = {
    # name: kind, dims, strength (noise: its norm in mean embedding norms), mask
    "noise, n=16, entities": ("noise", 16, 32.0, "entities"),
    "noise, n=1, entities": ("noise", 1, 32.0, "entities"),
    "noise, all dims, entities": ("noise", 10**6, 32.0, "entities"),
    "zero top half, entities": ("zero_top_k", 288, 1.0, "entities"),
    "flip all dims, entities": ("flip_top_k", 10**6, 1.0, "entities"),
    "replace, entities": ("replace", 1, 1.0, "entities"),
    "noise, n=16, content": ("noise", 16, 32.0, "content"),
    "paper: noise, n=1, sigma 1e6, all but last": ("noise", 1, 0.0, "prompt"),
}


def program(model: LocalModel, kind: str, dims: int, strength: float) -> Program:
    """An arm's program; strength 0 stands for the paper's absolute 1e6."""
    weights = model.network.get_input_embeddings().weight.detach().float()
    hidden = weights.shape[1]
    unit = float(weights.norm(dim=1).mean()) / min(dims, hidden) ** 0.5
    absolute = 1e6 if strength == 0 else strength * unit if kind == "noise" else strength
    substitute = np.zeros(hidden, np.float32)
    if kind == "replace":
        ids = model.tokenizer(" an unknown name", add_special_tokens=False)["input_ids"]
        substitute = weights[ids].mean(dim=0).numpy().astype(np.float32)
    chosen: Any = {"kind": kind, "dims": min(dims, hidden), "strength": absolute, "seed": 7, "model": model.fingerprint}
    return Program(EcoProgram(**chosen), substitute)


def report(demo: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One row per arm."""
    policy = load_policy(folder / "policy.yaml")
    part = fit(policy.guard, folder, key=bytes(32), progress=lambda *_: None)
    guard = Guard.from_parts({"104217": part.to_bytes()}, alpha=0.005)
    values = yaml.safe_load((folder / "policy.yaml").read_text(encoding="utf-8"))["guard"]["values"]
    model, reader = LocalModel.load(demo["model"]), Reader(load_encoder("wordllama"))
    items = []
    for item in demo["forget"]["items"]:
        (verdict,) = guard.scan([TextPart("/messages/0/content", "user", item["question"])])
        if item["scored"] and verdict.entities:
            items.append((item, [(s.start, s.end) for s in verdict.entities]))
    items = items[:: max(1, len(items) // QUESTIONS)][:QUESTIONS]
    rows = {}
    for name, (kind, dims, strength, mask) in ARMS.items():
        arm = program(model, kind, dims, strength)
        batch, edits = [], []
        for item, spans in items:
            text = item["question"]
            ids, flat = trial.prompt(model, text, spans if mask == "entities" else [(0, len(text))])
            batch.append(ids)
            edits.append(Edit(arm, 1.0, tuple(flat if mask != "prompt" else [0, len(ids) - 1])))
        answers = [model.tokenizer.decode(a, skip_special_tokens=True) for a in model.generate(batch, edits, TOKENS)]
        pairs = [(item["question"], answer) for (item, _), answer in zip(items, answers, strict=True)]
        leaks = sum(
            bool(found_values(a, (i["value"], *values), i["question"]))
            for (i, _), a in zip(items, answers, strict=True)
        )
        rows[name] = {
            "leak": rate(leaks, len(items)),
            "empty": sum(not a.strip() for a in answers),
            "repetition": round(fmean(map(repetition, answers)), 4),
            "distinct_2": round(distinct(answers), 4),
            "similarity_to_question": round(fmean(similarities(reader, pairs)), 4),
            "perplexity": round(perplexity(model, pairs), 2),
            "examples": pairs[:3],
        }
        print(f"{name}: leak {leaks} of {len(items)}", file=sys.stderr, flush=True)
    return {"where": where(), "model": demo["model"], "questions": len(items), "arms": rows}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--policy", type=Path, default=Path("deploy/examples/harry-potter"))
    options = parser.parse_args()
    result = report(json.loads(options.demo.read_text(encoding="utf-8")), options.policy)
    options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
