"""Command line: `python -m benchmarks.guards --json FILE [--eval DIR]`.

The data folder holds `tofu`, `knowundo_privacy` and `truthfulqa`; LETHE_DATA names it where --data does not.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from rich.console import Console

from benchmarks.guards.given import GivenError
from benchmarks.guards.plot import plot
from benchmarks.guards.run import run
from benchmarks.guards.sizes import SMALL, Sizes, Sources
from gateway.settings import GuardSettings

BESIDE = Path(__file__).parents[3] / "shared" / "data"


def main() -> None:
    """Measure, and write FILE and a picture of the same name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guards", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="result; the picture goes beside it as .png")
    parser.add_argument("--eval", type=Path, help="folder of JSON lines {'messages' or 'text', 'label', 'family'}")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LETHE_DATA", BESIDE)))
    parser.add_argument("--fortunes", type=Path, default=Path("/usr/share/games/fortunes"))
    parser.add_argument("--texts", action="store_true", help="show texts of public sets, not only their rows")
    parser.add_argument("--parts", type=Path, help="keep fitted parts here, or take them from here: no refit")
    parser.add_argument("--alpha", type=float, default=GuardSettings().alpha, help="default: the gateway's")
    parser.add_argument("--second", help="a second encoder, minilm:FOLDER or sentence-transformers:FOLDER")
    parser.add_argument("--small", action="store_true", help="a few of everything, to see that it works")
    chosen = parser.parse_args()
    if not (chosen.data / "tofu" / "full.jsonl").is_file():
        parser.error(f"{chosen.data}/tofu/full.jsonl is not there; name the folder with --data or LETHE_DATA")
    if chosen.eval and not chosen.eval.is_dir():
        parser.error(f"--eval {chosen.eval} is no folder")
    sources = Sources(chosen.data, chosen.fortunes, chosen.texts, chosen.parts, chosen.eval)
    console = Console(stderr=True)
    try:
        figures = run(sources, SMALL if chosen.small else Sizes(), console, chosen.alpha, chosen.second)
    except GivenError as error:
        parser.error(str(error))
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    plot(figures, chosen.json.with_suffix(".png"))
    console.print(f"wrote {chosen.json}", soft_wrap=True)


if __name__ == "__main__":
    main()
