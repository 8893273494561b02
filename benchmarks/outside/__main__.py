"""Evaluation tools of other people against the gateway.

python -m benchmarks.outside --setup                 # makes an environment per tool, once
python -m benchmarks.outside --out DIR [--tools lm_eval,inspect,garak] [--tier tiny]
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.leakage.servers import backend_of
from benchmarks.outside.environments import TOOLS, make
from benchmarks.outside.plot import plot
from benchmarks.outside.run import SIDES, run
from benchmarks.worlds.gold import gold
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.recipe import TIERS


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of outside.json and outside.png; work/ holds logs and files")
    parser.add_argument("--tools", default=",".join(TOOLS), help="with commas between them")
    parser.add_argument("--tier", default="tiny", choices=[name for name, tier in TIERS.items() if tier.size])
    parser.add_argument("--seed", type=int, default=0, help="of the generated world")
    parser.add_argument("--backend", default="auto", choices=("auto", "vllm", "local"))
    parser.add_argument("--items", type=int, default=96, help="questions of each kind")
    parser.add_argument("--setup", action="store_true", help="only make the environments")
    parser.add_argument("--torch-index", default="", help="an extra package index with CPU builds of torch")
    options = parser.parse_args()
    tools = options.tools.split(",")
    unknown = [tool for tool in tools if tool not in TOOLS]
    if unknown:
        parser.error(f"--tools: {unknown[0]} is not a tool; there are {', '.join(TOOLS)}")
    if not options.setup and options.out is None:
        parser.error("--out: name a folder for the result")
    for tool in tools:
        make(TOOLS[tool], options.torch_index)
    if options.setup:
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the engines as Ctrl-C does
    backend = backend_of(options.backend)
    world = tier_world(options.tier, options.seed)
    models = {name: gold(world, name, TIERS[options.tier]) for name in dict.fromkeys(side.model for side in SIDES)}
    result = run(world, models, options.out, tools=tools, tier=options.tier, backend=backend, items=options.items)
    plot(result, options.out / "outside.png")
    for name, sides in result["runs"].items():
        for side, measured in sides.items():
            told = " ".join(f"{part} {score['share']:.2f}" for part, score in measured["scores"].items())
            sys.stdout.write(f"{name}, {side}: {told or measured['gave_up']}\n")
    sys.stdout.write(f"wrote {options.out / 'outside.json'}\n")


if __name__ == "__main__":
    main()
