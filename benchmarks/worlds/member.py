"""Train one model in a process of its own: `python -m benchmarks.worlds.member --tier gpu --name full`.

Models of this size leave most of a large GPU idle, because launching kernels takes longer than running them. Several
processes train several models in about the time of one. The model lands in the cache, where `lethe bench train` and
`lethe bench leakage` find it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.worlds import tofu
from benchmarks.worlds.gold import MEMBERS, gold
from benchmarks.worlds.publish import tier_world, tofu_base
from benchmarks.worlds.recipe import TIERS
from benchmarks.worlds.training import Report

EVERY_S = 10.0


@contextmanager
def lines(name: str) -> Iterator[Report]:
    """Progress as lines on standard error: several processes cannot share one bar."""
    began = last = time.monotonic()

    def report(done: float, loss: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY_S:
            last = now
            print(f"{name}: {done:.0%}, loss {loss:.3f}, {now - began:.0f} s", file=sys.stderr, flush=True)

    yield report
    print(f"{name}: ready after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worlds.member", description=__doc__)
    parser.add_argument("--tier", choices=sorted(TIERS), required=True)
    parser.add_argument("--name", choices=sorted({*MEMBERS, *tofu.MEMBERS}), required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the generated world")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--base", default="smollm2-135m-instruct", help="tier tofu: what is fine-tuned")
    parser.add_argument("--data", type=Path, help="tier tofu: folder of the set")
    parser.add_argument("--steps", type=int, help="tier tofu: stop after so many")
    chosen = parser.parse_args()
    allowed = tofu.MEMBERS if chosen.tier == "tofu" else tuple(MEMBERS)
    if chosen.name not in allowed:
        parser.error(f"the tier {chosen.tier} has the models {', '.join(allowed)}, not {chosen.name}")
    with lines(f"{chosen.tier} {chosen.name}") as report:
        if chosen.tier != "tofu":
            gold(tier_world(chosen.tier, chosen.seed), chosen.name, TIERS[chosen.tier], False, chosen.device, report)
            return
        if chosen.data is None:
            parser.error("the tier tofu reads its rows from a folder: name it with --data")
        base, recipe, common = tofu_base(chosen.base, chosen.data)
        tofu.tofu(
            base, chosen.data, chosen.name, recipe, chosen.device, report=report, steps=chosen.steps, common=common
        )


if __name__ == "__main__":
    main()
