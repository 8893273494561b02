"""What does Lethe cost? Gateway against direct, guards on against off, plug-in against none.

    python -m benchmarks.overhead --json FILE [--rounds 5] [--skip-engine] [--model FOLDER]

All comparisons are interleaved pairs on one machine; report ratios and medians, never single runs. The gateway part
runs against a canned upstream (`stub.py`), the plug-in part on a real vLLM in float32, with SmolLM2-135M or the model
named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import yaml

from benchmarks.load import COUNTER, run
from benchmarks.stub import KEY
from benchmarks.where import where
from gateway.demo.services import Service, free_port, running
from gateway.policy import ForgetPolicy
from guards.fit import fit
from guards.part import FittedName
from guards.spec import Entity, Example, GuardSpec
from steering.bundle import Manifest, write_bundle
from steering.program import EcoProgram, Program
from steering.spec import EcoSpec, ModelFingerprint

BUDGETS = {
    "off_p50_added_ms": 0.35,
    "off_cpu_us": 320,
    "off_rate_per_core": 2500,
    "on_p50_added_ms": 1.0,
    "plugin_throughput": 0.97,
}
MODEL = ModelFingerprint(id="stub", weights_sha256="0" * 64, dtype="float32", hidden_size=8)
BUNDLE_KEY = bytes(32)
SHORT = f"Request {COUNTER.decode()}: what is the capital of France?"
TEXT = (
    f"Request {COUNTER.decode()}: "
    + "could you tell me how the harbour of the old town was rebuilt after the flood and who paid for it? " * 22
)
POLICIES = 10


def make_bundles(folder: Path) -> list[str]:
    """Ten policies with names of their own and fitted linear models."""
    questions = [
        f"What did Orla Quistmere write about {w}?" for w in ("tides", "salt", "owls", "glass", "rain", "iron")
    ]
    guard = GuardSpec(entities=(Entity(name="Orla Quistmere"),), examples=tuple(Example(question=q) for q in questions))
    part = fit(guard, folder, key=BUNDLE_KEY, progress=lambda *_: None)
    rng, out = np.random.default_rng(0), []
    for i in range(POLICIES):
        number = f"{500000 + i}"
        names = tuple(FittedName(f"Orla Quistmere{chr(97 + i)}", 0, "alias", j) for j, _ in enumerate(part.names))
        weights = (part.weights + rng.standard_normal(part.weights.shape) * 0.01).astype(np.float32)
        eco = EcoProgram(kind="noise", dims=1, strength=1.0, seed=i, model=MODEL)
        manifest = Manifest(
            number=number, version=1, method="eco", mask="entities", model=MODEL, sites=("embed",), created=""
        )
        policy = ForgetPolicy(id=f"bench-{i}", guard=guard, method=EcoSpec())
        sensitive = {
            "policy": policy.model_dump_json(by_alias=True).encode(),
            "guard": replace(part, weights=weights, names=names).to_bytes(),
        }
        write_bundle(
            folder / number, manifest, Program(eco, np.zeros(8, np.float32)).to_bytes(), sensitive, "", BUNDLE_KEY
        )
        out.append(str(folder / number))
    return out


def http_request(text: str) -> bytes:
    """A chat request as raw bytes."""
    body = json.dumps({"model": "stub", "messages": [{"role": "user", "content": text}], "max_tokens": 64}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def gateway_part(rounds: int, seconds: float) -> dict[str, Any]:
    """Direct, guards off and guards on, in turn, at 1 and 32 clients."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundles = make_bundles(folder)
        (folder / "model.json").write_text(MODEL.model_dump_json())
        stub_port = free_port()
        environment = {**os.environ, "LETHE_ENGINE_KEY": KEY.decode(), "LETHE_BUNDLE_KEY": BUNDLE_KEY.hex()}
        command = [sys.executable, "-m", "benchmarks.stub", str(stub_port), str(folder / "model.json")]
        stub = Service("stub", command, environment, folder / "stub.log", f"http://127.0.0.1:{stub_port}/health")
        stack.enter_context(running(stub)).wait(20)
        targets: dict[str, tuple[int, psutil.Process]] = {"direct": (stub_port, psutil.Process(stub.process.pid))}
        for name, listed in (("off", []), ("on", bundles)):
            port = free_port()
            settings = {
                "listen": {"port": port},
                "upstream": {"url": f"http://127.0.0.1:{stub_port}"},
                "allow_anonymous": True,
                "bundles": listed,
            }
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings))
            arguments = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(folder / f"{name}.yaml")]
            service = Service(
                "gateway", arguments, environment, folder / f"{name}.log", f"http://127.0.0.1:{port}/readyz"
            )
            stack.enter_context(running(service)).wait(60)
            targets[name] = port, psutil.Process(service.process.pid)
        found: dict[str, list[dict[str, float]]] = {}
        for number in range(rounds):
            for clients in (1, 32):
                for name, (port, process) in targets.items():
                    for kind, text in (("short", SHORT), ("512 tokens", TEXT)):
                        before = sum(process.cpu_times()[:2])
                        load = asyncio.run(run(port, http_request(text), clients, seconds))
                        cpu = (sum(process.cpu_times()[:2]) - before) / load.requests * 1e6
                        row = {"p50_ms": load.p50, "p99_ms": load.p99, "cpu_us": cpu, "rate": load.rate}
                        found.setdefault(f"{name}, {kind}, c={clients}", []).append(row)
            print(f"gateway: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return summarise(found)


def summarise(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians per case, and medians of the paired differences and ratios to direct and to guards off."""
    out: dict[str, Any] = {"cases": {}, "paired": {}}
    for case, rows in found.items():
        out["cases"][case] = {k: round(median(r[k] for r in rows), 4) for k in rows[0]}
    for case, rows in found.items():
        name, rest = case.split(", ", 1)
        for other in {"off": ("direct",), "on": ("direct", "off")}.get(name, ()):
            base = found[f"{other}, {rest}"]
            added = [a["p50_ms"] - b["p50_ms"] for a, b in zip(rows, base, strict=True)]
            ratio = [a["p50_ms"] / b["p50_ms"] for a, b in zip(rows, base, strict=True)]
            spread = [round(min(added), 4), round(max(added), 4)]
            out["paired"][f"{name} - {other}, {rest}"] = {
                "p50_added_ms": round(median(added), 4), "p50_added_range": spread, "p50_ratio": round(median(ratio), 2)
            }  # fmt: skip
    return out


def engine_part(rounds: int, model: Path | None = None) -> dict[str, Any]:
    """Throughput of a bare engine and one with the plug-in, nothing flagged, in turn; and with everything flagged.

    `model` is a folder; without it SmolLM2-135M-Instruct.
    """
    import torch  # noqa: PLC0415 - only with a real vLLM

    from steering.weights import fetch, fingerprint  # noqa: PLC0415 - only with a real vLLM
    from tests.steering.engine.vllm.driver import Ask, Engine, start  # noqa: PLC0415

    folder = model or fetch("smollm2-135m-instruct")
    span = min(20000, json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"] - 1000)
    asks = [Ask([1000 + (i * 37 + j * 11) % span for j in range(64)], options={"max_tokens": 32}) for i in range(16)]
    # two engines side by side on one GPU, each of which would otherwise take nearly all of its memory
    shared: dict[str, Any] = {"gpu_memory_utilization": 0.3} if torch.cuda.is_available() else {}

    def timed(engine: Engine, batch: list[Any]) -> float:
        began = time.perf_counter()
        engine.run(batch)
        return time.perf_counter() - began

    with start(str(folder), plugin=False, **shared) as bare, start(str(folder), **shared) as loaded:
        for engine in (bare, loaded):
            if engine.error:
                raise RuntimeError(engine.error)
        eco = EcoProgram(kind="noise", dims=1, strength=100.0, seed=1, model=fingerprint(folder, "float32"))
        generation = loaded.load("p500000@1", Program(eco, np.zeros(eco.model.hidden_size, np.float32)).to_bytes())
        flagged = [replace(a, order=["p500000@1", generation, 1.0, [8, 24]]) for a in asks]
        cases: dict[str, Callable[[], float]] = {
            "bare": lambda: timed(bare, asks),
            "none flagged": lambda: timed(loaded, asks),
            "all flagged": lambda: timed(loaded, flagged),
        }
        for case in cases.values():
            case()  # warm up
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        for number in range(rounds):
            order = list(cases) if number % 2 else list(reversed(cases))
            for name in order:
                seconds[name].append(cases[name]())
            print(f"engine: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    tokens = 16 * 32
    ratios = {
        n: [b / s for b, s in zip(seconds["bare"], seconds[n], strict=True)] for n in ("none flagged", "all flagged")
    }
    return {
        "tokens_per_second": {name: round(median(tokens / s for s in rows), 1) for name, rows in seconds.items()},
        "throughput_ratio_to_bare": {
            name: {"median": round(median(r), 4), "min": round(min(r), 4), "max": round(max(r), 4)}
            for name, r in ratios.items()
        },
        "workload": f"{'SmolLM2-135M-Instruct' if model is None else model.name}, float32, eager, 16 requests of "
        "64 + 32 tokens, 1 thread, one process each",
    }


def verdicts(result: dict[str, Any]) -> dict[str, Any]:
    """Budgets of the design beside what was measured."""
    gateway, rows = result["gateway"], {}
    off, on = gateway["paired"]["off - direct, short, c=1"], gateway["paired"]["on - off, 512 tokens, c=1"]
    measured = {
        "off_p50_added_ms": off["p50_added_ms"],
        "off_cpu_us": gateway["cases"]["off, short, c=1"]["cpu_us"],
        # one process uses one core at most; what it could do with a whole one
        "off_rate_per_core": round(1e6 / gateway["cases"]["off, short, c=32"]["cpu_us"]),
        "on_p50_added_ms": on["p50_added_ms"],
    }
    if "engine" in result:
        measured["plugin_throughput"] = result["engine"]["throughput_ratio_to_bare"]["none flagged"]["median"]
    for name, value in measured.items():
        budget = BUDGETS[name]
        least = name in ("off_rate_per_core", "plugin_throughput")
        rows[name] = {"measured": value, "budget": budget, "met": value >= budget if least else value <= budget}
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--skip-engine", action="store_true")
    parser.add_argument("--model", type=Path, help="model folder for the engine part")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the services as Ctrl-C does
    result: dict[str, Any] = {"where": where(), "gateway": gateway_part(options.rounds, options.seconds)}
    if not options.skip_engine:
        result["engine"] = engine_part(2 * options.rounds, options.model)
    result["budgets"] = verdicts(result)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["budgets"], indent=1))


if __name__ == "__main__":
    main()
