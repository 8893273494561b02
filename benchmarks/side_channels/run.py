"""Everything in one go: compile, start three engines, ask in three ways, measure, write."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bars import progress
from benchmarks.leakage import servers
from benchmarks.leakage.arms import FIRST
from benchmarks.leakage.audit import decisions
from benchmarks.leakage.client import Server
from benchmarks.leakage.oracle import Always, Never
from benchmarks.leakage.run import compile_bundles
from benchmarks.side_channels import load, prefix
from benchmarks.side_channels.ask import Answers, Turn, ask
from benchmarks.side_channels.questions import Question, harmless, questions
from benchmarks.side_channels.seen import Seen
from benchmarks.worlds.world import World

LENGTH = 8
"""Tokens of every answer where times are compared at equal length."""
FEW = 8
"""Questions at a time where answers are as long as they come: a quiet server, but not an empty one."""
WARM = 24
"""Questions per server that are asked first and not counted."""
WATCHED = 340
"""Questions whose answers are compared under load, in every round."""
PAIRS = 24
"""Pairs of questions with a common beginning."""
GUARDS = {"lethe": None, "oracle": Always, "off": Never}


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers of the passes, by name, and what the gateways decided, by request id.

    All in random order. `content`: many at a time. `natural`: few at a time. `fixed`: one after the other, and every
    answer has LENGTH tokens. `loaded`, `shared`: see `load` and `prefix`; empty where the engine has no batches.
    """

    content: Answers
    natural: Answers
    fixed: Answers
    loaded: Mapping[str, list[list[Seen]]]
    shared: Mapping[str, Any]
    decisions: Mapping[str, str]


def measure(world: World, models: Mapping[str, Path], work: Path, backend: str, items: int, seed: int = 0) -> Measured:
    """Ask everything. `items`: at most so many questions per side; logs, policies and bundles go to `work`."""
    work.mkdir(parents=True, exist_ok=True)
    key = secrets.token_hex(32)
    bundles = compile_bundles(world, models["full"], work, key, (FIRST, "refusal"))
    forget, never, quiet = (
        _some(asked, items, seed) for asked in (questions(world, "forget"), questions(world, "never"), harmless(world))
    )
    audits = {name: work / f"audit-{name}.jsonl" for name in (*GUARDS, "refusal", "gold", "gold-b")}
    with _engines(models, backend, work) as engines, ExitStack() as stack:
        at: dict[str, Server] = {}
        for name, audit in audits.items():
            model = {"gold": "retain-a", "gold-b": "retain-b"}.get(name, "full")
            bundle = bundles["refusal" if name == "refusal" else FIRST] if model == "full" else None
            audit.unlink(missing_ok=True)
            at[name] = stack.enter_context(servers.gateway(engines[model], bundle, key, audit, GUARDS.get(name)))
        sides = {"forget": forget, "never": never}
        warm = [(name, "forget") for name in at]
        _asked("warming up", _plan(at, warm, {"forget": forget[:WARM]}, {}, seed), 4)
        both = ("lethe", "refusal", "gold")
        content = [*((name, side) for name in both for side in sides), ("oracle", "forget"), ("gold-b", "forget")]
        natural = [("lethe", "forget"), ("lethe", "never"), ("gold", "forget"), ("gold-b", "forget")]
        fixed = [(name, side) for name in ("lethe", "off") for side in sides]
        length: Mapping[str, Any] = {"max_tokens": LENGTH, "min_tokens": LENGTH, "ignore_eos": True}
        # a salt of its own per pass, so that no pass finds the prompts of another one in the prefix cache
        passes: tuple[tuple[str, list[tuple[str, str]], Mapping[str, Any], int], ...] = (
            ("content", content, {}, load.CONCURRENCY),
            ("natural", natural, {}, FEW),
            ("fixed", fixed, length, 1),
        )
        found = {
            name: _asked(name, _plan(at, pairs, sides, {**fields, "cache_salt": name}, seed), concurrency)
            for name, pairs, fields, concurrency in passes
        }
        loaded: Mapping[str, list[list[Seen]]] = {}
        shared: Mapping[str, Any] = {}
        if backend == "vllm":
            half = min(len(quiet) // 2, len(forget), WATCHED)
            mixture = load.Mixture(quiet[:half], forget[:half], quiet[half : 2 * half])
            loaded = load.rounds(
                lambda turns: _asked("under load", turns, load.CONCURRENCY), at["lethe"], at["oracle"], mixture, seed
            )
            couples = list(zip(quiet, forget, strict=False))[:PAIRS]
            shared = prefix.sharing(
                lambda turns: asyncio.run(ask(turns, 1)), at["lethe"], engines["full"], couples, seed
            )
    said = {request: decision for audit in audits.values() for request, decision in decisions(audit).items()}
    return Measured(found["content"], found["natural"], found["fixed"], loaded, shared, said)


def _some(asked: Sequence[Question], count: int, seed: int) -> list[Question]:
    """At most so many, in a random order."""
    return random.Random(f"questions/{seed}").sample(list(asked), min(count, len(asked)))


def _plan(
    at: Mapping[str, Server],
    pairs: Sequence[tuple[str, str]],
    sides: Mapping[str, Sequence[Question]],
    fields: Mapping[str, Any],
    seed: int,
) -> list[Turn]:
    """All questions of the sides to the servers, everything in one random order."""
    turns = [Turn(f"{name}/{side}", at[name], question, fields) for name, side in pairs for question in sides[side]]
    random.Random(f"order/{seed}").shuffle(turns)
    return turns


def _asked(name: str, turns: Sequence[Turn], concurrency: int) -> Answers:
    with progress() as bars:
        task = bars.add_task(name, total=len(turns))
        return asyncio.run(ask(turns, concurrency, lambda: bars.advance(task)))


@contextmanager
def _engines(models: Mapping[str, Path], backend: str, work: Path) -> Iterator[dict[str, servers.Engine]]:
    """One engine per model, all at once, so that questions to different models can alternate."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(servers.engine(folder, backend, work / f"engine-{name}.log"))
            for name, folder in models.items()
        }
