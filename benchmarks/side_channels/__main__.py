"""Command line: `python -m benchmarks.side_channels --tier tiny --out FOLDER` writes `side_channels.{json,png}`."""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path

from benchmarks.leakage.servers import backend_of
from benchmarks.side_channels.figures import defects, figures
from benchmarks.side_channels.plot import plot
from benchmarks.side_channels.run import measure
from benchmarks.where import engine_of, where
from benchmarks.worlds.gold import MEMBERS, gold
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.recipe import TIERS


def main() -> None:
    """Measure and write; says what a client can see for certain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", choices=[name for name, tier in TIERS.items() if tier.size], default="tiny")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; logs go to its work/")
    parser.add_argument("--backend", choices=["auto", "vllm", "local"], default="auto")
    parser.add_argument("--items", type=int, default=1080, help="questions per side, at most; all: 1080")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the engines as Ctrl-C does
    world = tier_world(options.tier)
    models = {name: gold(world, name, TIERS[options.tier]) for name in MEMBERS}
    hardware, backend = where(), backend_of(options.backend)
    measured = measure(world, models, options.out / "work", backend, options.items, options.seed)
    found = {
        **figures(measured, options.seed),
        "tier": options.tier,
        "engine": engine_of(backend),
        "where": hardware,
    }
    (options.out / "side_channels.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    plot(found, options.out / "side_channels.png")
    for defect in defects(found):
        print(f"visible: {defect}")
    print(f"wrote {options.out / 'side_channels.json'} and {options.out / 'side_channels.png'}")


if __name__ == "__main__":
    main()
