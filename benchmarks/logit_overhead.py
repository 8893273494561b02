"""What do assistants inside vLLM cost? Throughput against bare vLLM with nobody, a tenth and everybody flagged.

    python -m benchmarks.logit_overhead --json FILE [--rounds 5] [--model FOLDER] [--tokens 32]

Interleaved on one machine: a bare engine, one with the plug-in, and one with places for three assistants of a quarter
of the model's layers, under ULD (one of them) and twins (two). Two processes on a CPU differ by some ten per cent of
themselves: what flagged requests cost is read best against the same engine with nobody flagged. The assistants are the
model's own first layers, since what they say does not change what they cost. Without a folder the model is
SmolLM2-135M-Instruct, in float32.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.where import engine_of, where
from steering.assistant import ROLES, Difference, DifferenceProgram

REQUESTS, PROMPT = 20, 64
SHARES = {"a tenth": 10, "all": 1}
PLACES = 3


def program(folder: Path, method: str) -> Difference:
    """A program whose assistants are the model's own first layers, a quarter of them."""
    from steering.engine.local.assistants import trained, truncated  # noqa: PLC0415 - heavy
    from steering.engine.local.model import LocalModel  # noqa: PLC0415 - heavy

    model = LocalModel.load(folder)
    layers = -(-model.layers // 4)
    weights = trained(truncated(model.network, layers))
    tensors = {f"{role}.{name}": tensor for role in ROLES[method] for name, tensor in weights.items()}
    settings: dict[str, Any] = {"rule": "linear", "layers": layers, "alpha": 1.0, "plausible": 0.01, "top_m": 50}
    return Difference(DifferenceProgram(method=method, model=model.fingerprint, **settings), tensors)


def measure(folder: Path, rounds: int, tokens: int) -> dict[str, Any]:
    """Tokens per second of every case, ratios [median, least, largest] within a round, and blocks of KV cache."""
    from tests.steering.engine.vllm.driver import Ask, Engine, start  # noqa: PLC0415 - only with a real vLLM

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    span = min(20000, config["vocab_size"] - 1000)
    ids = [[1000 + (i * 37 + j * 11) % span for j in range(PROMPT)] for i in range(REQUESTS)]
    asks = [Ask(one, options={"max_tokens": tokens}) for one in ids]
    programs = {method: program(folder, method) for method in ROLES}
    layers = programs["uld"].difference.layers
    places = {"lethe": {"assistants": [layers] * PLACES}}
    options: dict[str, Any] = {"max_num_seqs": REQUESTS}

    def timed(engine: Engine, batch: list[Any]) -> float:
        began = time.perf_counter()
        engine.run(batch)
        return time.perf_counter() - began

    with (
        start(str(folder), plugin=False, **options) as bare,
        start(str(folder), **options) as plugged,
        start(str(folder), additional_config=places, **options) as loaded,
    ):
        for engine in (bare, plugged, loaded):
            if engine.error:
                raise RuntimeError(engine.error)
        cases: dict[str, Callable[[], float]] = {
            "bare": partial(timed, bare, asks),
            "plug-in without places": partial(timed, plugged, asks),
            "none flagged": partial(timed, loaded, asks),
        }
        for number, (method, made) in enumerate(programs.items()):
            name = f"p50000{number}@1"
            order = [name, loaded.load(name, made.to_bytes()), 1.0, [8, 24]]
            for share, every in SHARES.items():
                batch = [replace(ask, order=None if i % every else order) for i, ask in enumerate(asks)]
                cases[f"{method}, {share} flagged"] = partial(timed, loaded, batch)
        for case in cases.values():
            case()  # warm up
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        for done in range(rounds):
            for name in list(cases) if done % 2 else list(reversed(cases)):
                seconds[name].append(cases[name]())
            print(f"round {done + 1} of {rounds}", file=sys.stderr, flush=True)
        blocks = {"bare": bare.blocks(), "loaded": loaded.blocks()}

    def ratios(base: str) -> dict[str, list[float]]:
        """Median, least and largest of the ratios within a round."""
        others = {name: rows for name, rows in seconds.items() if name != base}
        found = {n: [b / s for b, s in zip(seconds[base], r, strict=True)] for n, r in others.items()}
        return {n: [round(v, 3) for v in (median(r), min(r), max(r))] for n, r in found.items()}

    return {
        "model_layers": config["num_hidden_layers"],
        "assistant_layers": layers,
        "places": PLACES,
        "requests": REQUESTS,
        "tokens": tokens,
        "tokens_per_second": {n: round(median(REQUESTS * tokens / s for s in r), 1) for n, r in seconds.items()},
        "throughput_to_bare": ratios("bare"),
        "throughput_to_none_flagged": ratios("none flagged"),
        "kv_blocks": blocks,
    }


def main() -> None:
    """Command line."""
    from steering.weights import fetch  # noqa: PLC0415 - only where no folder is given

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokens", type=int, default=32)
    given = parser.parse_args()
    found = measure(given.model or fetch("smollm2-135m-instruct"), given.rounds, given.tokens)
    hardware = where()
    out = {**found, "engine": engine_of("vllm"), "hardware": hardware, "commit": hardware["commit"]}
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(out["throughput_to_none_flagged"], indent=1))


if __name__ == "__main__":
    main()
