"""How long the guards take: `python -m benchmarks.guard_speed --json FILE`.

Workload: running English text of Python's manual, never the same text twice, so that nothing is answered from the
per-text cache; words have been seen before, as in steady traffic (the first reading is reported apart).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.where import where
from guards.calibrate import Corpus
from guards.classifier import worst
from guards.fit import fit, numbered
from guards.guard import Guard, Shared
from guards.normalize import Normalizer
from guards.part import FittedPart
from guards.spec import Entity, Example, GuardSpec
from guards.verdict import TextPart

TOKENS = 512


def milliseconds(call: Callable[[int], object], rounds: int) -> dict[str, float]:
    """Median and 99th percentile of wall time per call; the call gets its round."""
    times = []
    for i in range(rounds):
        start = time.perf_counter()
        call(i)
        times.append((time.perf_counter() - start) * 1e3)
    return {"p50": round(float(np.median(times)), 3), "p99": round(float(np.quantile(times, 0.99)), 3)}


def policy(number: int) -> GuardSpec:
    """A small policy about an invented person."""
    draw = random.Random(number)
    syllables = ["ka", "ro", "min", "tel", "vas", "ordu", "lin", "bex", "sha", "quor", "nim", "dra"]
    name = " ".join("".join(draw.sample(syllables, 3)).capitalize() for _ in range(2))
    return GuardSpec(
        entities=(Entity(name=name, aliases=(name.split()[1] + "ism",), related=(name.split()[0],)),),
        examples=tuple(
            Example(question=q.format(name))
            for q in ("Where was {} born?", "Which prize did {} win for her glass boats?", "Who taught {} to sail?")
        ),
        retain=("Where was the king born?", "Who taught the queen to sail?"),
    )


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()

    start = time.perf_counter()
    part = fit(policy(0), Path(), key=b"benchmark", progress=lambda _, __: None)
    fitted = time.perf_counter() - start
    start = time.perf_counter()
    shared = Shared.load()
    loaded = time.perf_counter() - start
    tokenizer = shared.reader.encoder._tokenizer  # type: ignore[attr-defined]
    words = " ".join(import_module("pydoc_data.topics").topics.values()).split()

    def text(i: int, tokens: int = TOKENS) -> str:
        begin = i * 37 % (len(words) - tokens)
        ids = tokenizer.encode(" ".join(words[begin : begin + tokens]), add_special_tokens=False).ids[:tokens]
        return f"{i} {tokenizer.decode(ids)}"

    fresh = [text(i) for i in range(options.rounds * 4)]
    result: dict[str, Any] = {
        "what": f"guard, static tier, {TOKENS} new tokens",
        "python": sys.version.split()[0],
        "where": where(),
        "fit_seconds": round(fitted, 2),
        "load_seconds": round(loaded, 2),
        "tokenise_ms": milliseconds(lambda i: tokenizer.encode(fresh[i], add_special_tokens=False).ids, options.rounds),
    }
    body = " ".join(words * 3)[:1_000_000]
    data = {count: {f"{n:06d}": part_of(part, n, shared.corpus) for n in range(count)} for count in (10, 1000)}
    at = 0
    for count, parts in data.items():
        start = time.perf_counter()
        guard = Guard.from_parts(parts, alpha=0.005, shared=shared)
        result[f"from_parts_{count}_seconds"] = round(time.perf_counter() - start, 2)

        def scan(text: str, guard: Guard = guard) -> object:
            return guard.scan([TextPart("/messages/0/content", "user", text)])

        for warm in fresh[at : at + 100]:
            scan(warm)
        news = fresh[at + 100 : at + 100 + options.rounds]
        at += 100 + options.rounds
        result[f"scan_{count}_policies_ms"] = milliseconds(lambda i: scan(news[i]), options.rounds)  # noqa: B023 - called at once
        result[f"megabyte_{count}_policies_ms"] = milliseconds(lambda i: scan(f"{i} {body}"), 7)
    result["scan_10_over_tokenise"] = round(result["scan_10_policies_ms"]["p50"] / result["tokenise_ms"]["p50"], 2)
    result["scan_1000_over_10"] = round(
        result["scan_1000_policies_ms"]["p50"] / result["scan_10_policies_ms"]["p50"], 2
    )
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def part_of(part: FittedPart, number: int, corpus: Corpus) -> bytes:
    """A part with the names of another policy and a random direction, standardised like a fitted one."""
    weights = np.random.default_rng(number).normal(0, 1, part.weights.shape).astype(np.float32)
    best = worst(corpus.vectors @ weights, corpus.owners, len(corpus.texts))
    mean, deviation = float(best.mean()), float(best.std())
    names = numbered(policy(number), Normalizer())
    return replace(part, names=names, weights=weights / deviation, bias=-mean / deviation).to_bytes()


if __name__ == "__main__":
    main()
