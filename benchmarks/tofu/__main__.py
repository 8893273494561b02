"""Command line: `python -m benchmarks.tofu --data DIR [--models DIR] --out FOLDER [--items N]`.

`--models` is what `lethe bench train --tier tofu --out DIR` wrote; without it the guard alone is measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.tofu.plot import plot
from benchmarks.tofu.run import run


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tofu", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="TOFU: full.jsonl and the *_perturbed.jsonl files")
    parser.add_argument("--knowundo", type=Path, help="KnowUnDo; default: knowundo_privacy beside --data, if there")
    parser.add_argument("--models", type=Path, help="folder with full and retain90; without: the guard alone")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--items", type=int, default=400, help="questions per set; below 200 p says nothing")
    parser.add_argument("--tokens", type=int, default=200, help="longest answer, in tokens")
    parser.add_argument("--strength", type=float, help="of the corruption, in mean embedding norms; default: searched")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    chosen = parser.parse_args()
    beside = chosen.data.parent / "knowundo_privacy"
    other = chosen.knowundo or (beside if beside.is_dir() else None)
    console = Console(stderr=True)
    if other is None:
        console.print(f"no KnowUnDo: {beside} is not there and --knowundo is not given")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if chosen.device == "auto" else chosen.device
    try:
        result = run(
            chosen.data,
            chosen.models,
            other,
            chosen.out,
            items=chosen.items,
            new_tokens=chosen.tokens,
            strength=chosen.strength,
            device=device,
        )
    except FileNotFoundError as error:
        parser.error(str(error))
    plot(chosen.out)
    if result.get("measurable") is False:
        console.print("the full model does not know its forget authors: its figures say nothing about forgetting")
    console.print(f"wrote {chosen.out}", soft_wrap=True)


if __name__ == "__main__":
    main()
