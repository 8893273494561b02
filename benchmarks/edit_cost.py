"""What edit sites cost a decode step: the engine's operation after decoder layers, against the same layers without it.

    python -m benchmarks.edit_cost --json FILE [--pairs 15] [--widths 576,2048]

A step is 16 rows, one new token each, through the decoder layers of a random Llama, without a context to look back at
and without the head, both of which only make the ratio smaller. The sites are vLLM's: persistent banks and
`lethe::edit`, nothing decided on the host on a GPU, where both sides are captured as CUDA graphs. Steps with and
without sites are run in turn, in an order that changes; a case is the median of the ratios of its pairs with an
interval of that median from order statistics, at 95 % or as near below it as the number of pairs allows. Two runs of
the layers without sites give the same figure for no difference at all (`bare`). The figures become the key `overhead`
of FILE, beside what else it holds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from scipy.stats import binom
from torch import Tensor

from benchmarks.where import where
from steering.engine.vllm.bank import Bank
from steering.engine.vllm.surgery import edit_op

ROWS, SLOTS = 16, 2
FLAGGED, COLUMNS, SITES = (0, 1, ROWS), (16, 64), (1, 4)
WARM = 3

Step = Callable[[], object]
Save = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, slots=True)
class Shape:
    """Decoder layers of a Llama; `name` says of which model."""

    name: str
    hidden: int
    layers: int
    heads: int
    groups: int
    intermediate: int


SHAPES = {
    576: Shape("SmolLM2-135M", 576, 30, 9, 3, 1536),
    2048: Shape("Llama-3.2-1B, half as deep", 2048, 8, 32, 8, 8192),
}


class Layers:
    """Random decoder layers, and a step through them with edit sites behind some of them."""

    def __init__(self, shape: Shape, device: str) -> None:
        from transformers import LlamaConfig, LlamaModel  # noqa: PLC0415 - heavy

        config = LlamaConfig(
            vocab_size=1, hidden_size=shape.hidden, intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.groups,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network: Any = LlamaModel(config).to(device).eval().requires_grad_(False)
            self.stream = torch.randn(ROWS, 1, shape.hidden).to(device)
        self.device, self.count, self.hidden = device, shape.layers, shape.hidden
        self.nothing = torch.zeros(ROWS, shape.hidden, device=device)
        places = torch.zeros(ROWS, 1, dtype=torch.long, device=device)
        self.angles = self.network.rotary_emb(self.stream, places)

    def bare(self) -> Tensor:
        """The stream after the last layer."""
        return self.run({})

    def run(self, banks: dict[int, Bank]) -> Tensor:
        """The stream after the last layer, with an edit after each layer that has a bank."""
        x = self.stream
        for at, layer in enumerate(self.network.layers):
            out = layer(x, position_embeddings=self.angles)
            x = out[0] if isinstance(out, tuple) else out
            if at in banks:
                b, rows = banks[at], x.view(ROWS, -1)
                edit_op(
                    rows, self.nothing, b.slot, b.gate, b.probes, b.phi, b.members, b.directions, b.step, b.echo
                )  # fmt: skip
        return x

    def banks(self, flagged: int, columns: int, sites: int) -> dict[int, Bank]:
        """Full banks of a projection, behind evenly spread layers; the first `flagged` rows are edited."""
        shared = {
            "slot": (torch.arange(ROWS) < flagged).long().to(self.device),
            "gate": torch.ones(ROWS, device=self.device),
            "step": torch.ones(1, dtype=torch.int64, device=self.device),
        }
        found = {}
        for i in range(sites):
            bank = Bank(SLOTS, columns, self.hidden, shared)
            basis = torch.linalg.qr(torch.randn(self.hidden, columns))[0].to(self.device)
            bank.get_buffer("probes").copy_(basis)
            bank.get_buffer("directions").copy_(basis.T)
            bank.get_buffer("phi")[2] = -1.0  # slope
            bank.get_buffer("members")[1] = 1.0
            found[(i + 1) * self.count // (sites + 1)] = bank
        return found


def ready(step: Step, device: str) -> Step:
    """The step, warmed up, on a GPU as a graph that is replayed."""
    for _ in range(WARM):
        step()
    if device == "cpu":
        return step
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def pairs(bare: Step, edited: Step, count: int, device: str) -> list[float]:
    """Ratios of the times of `count` pairs, edited over bare; every other pair runs in the opposite order."""

    def timed(step: Step) -> float:
        began = time.perf_counter()
        step()
        if device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    ratios = []
    for number in range(count):
        first, second = (bare, edited) if number % 2 else (edited, bare)
        a, b = timed(first), timed(second)
        ratios.append(b / a if number % 2 else a / b)
    return ratios


def summary(ratios: Sequence[float], level: float = 0.95) -> dict[str, float]:
    """Median, and the order statistics around it that hold the median of the distribution with this probability."""
    ordered = sorted(ratios)
    below = max(int(binom.ppf((1 - level) / 2, len(ordered), 0.5)), 1)
    return {
        "ratio": round(median(ordered), 4),
        "lo": round(ordered[below - 1], 4),
        "hi": round(ordered[len(ordered) - below], 4),
    }


def measure(widths: Sequence[int], count: int, device: str, save: Save) -> None:
    """Every case of every width, saved as they come."""
    found: dict[str, Any] = {}
    for width in widths:
        layers = Layers(SHAPES[width], device)
        bare = ready(layers.bare, device)
        found[f"d={width}, bare"] = summary(pairs(bare, bare, count, device))
        for flagged in FLAGGED:
            for columns in COLUMNS:
                for sites in SITES:
                    banks = layers.banks(flagged, columns, sites)
                    edited = ready(partial(layers.run, banks), device)
                    case = f"d={width}, {flagged}/{ROWS} flagged, {columns} columns, {sites} layers"
                    found[case] = summary(pairs(bare, edited, count, device))
                    print(case, found[case], file=sys.stderr, flush=True)
                    save(found)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--widths", default="576,2048")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    widths = [int(width) for width in options.widths.split(",")]
    began = where()
    measured = {
        "pairs": options.pairs,
        "threads": torch.get_num_threads(),
        "device": options.device,
        "models": {width: f"{SHAPES[width].name}: {SHAPES[width].layers} layers" for width in widths},
        "where": began,
    }

    def save(found: dict[str, Any]) -> None:
        before = json.loads(options.json.read_text(encoding="utf-8")) if options.json.is_file() else {}
        result = {**before, "overhead": {**before.get("overhead", {}), **found}, "overhead_measured": measured}
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    with torch.inference_mode():
        measure(widths, options.pairs, options.device, save)


if __name__ == "__main__":
    main()
