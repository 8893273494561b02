"""Whether a transformer as a second encoder, or novelty in the place of neighbours, would add anything.

`python -m benchmarks.guards.encoders --minilm "$(lethe models fetch minilm)" --json FILE`, with onnxruntime installed.
Each text is one vector of each encoder. A tier is a linear model per policy, fitted and bounded as the guard's own is:
its threshold lets through the neighbours that it was not fitted on, and half of alpha is spent on general texts. It is
asked about every request that the guard passes, so that a grey zone could only lower what it adds. The same tier with
WordLlama's vectors says what comes from the encoder and not from spending more false positives.

Novelty is what is left to a policy without harmless neighbours: the cosine to the nearest example, or Mahalanobis's
distance with a shrunk covariance (arXiv 2407.10223 sums both over the layers; Ledoit and Wolf, J. Multivariate Analysis
88, 2004), against the linear model that has benign texts alone. Cutoffs are set on the very texts that are counted,
which favours all of them alike.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.bars import progress, stepping
from benchmarks.guards.fitted import KEY, fitted, fitting_texts
from benchmarks.guards.general import documents
from benchmarks.guards.novelty import novelty_figures
from benchmarks.guards.overlap import Seen
from benchmarks.guards.scanning import scanned
from benchmarks.guards.sizes import SMALL, Sizes, Sources
from benchmarks.guards.texts import policies_of, texts_of
from benchmarks.guards.tiers import Fitting, Tier, tier_figures
from benchmarks.where import where
from gateway.settings import GuardSettings
from guards.benign import benign
from guards.encoder import load_encoder
from guards.guard import Guard, Shared
from guards.normalize import Normalizer
from guards.whole import Whole

WORDS = 60
"""General texts up to so many words are asked about: the encoders read each text as one."""
BENIGN = 1500
"""Benign texts, of the fitting half, that a tier is fitted on."""


def measure(sources: Sources, sizes: Sizes, minilm: str, console: Console, alpha: float) -> dict[str, Any]:
    """Everything; raises what `benchmarks.guards.run.run` and `guards.encoder.load_encoder` raise."""
    with progress(console) as bars:
        bar = stepping(bars)
        encoders = {"WordLlama": load_encoder("wordllama"), "MiniLM": load_encoder(minilm)}
        shared = Shared.load()
        policies, items, near = policies_of(sources.data, sizes)
        seen = Seen([*(b.text for half in ("fit", "calibration") for b in benign(half)), *fitting_texts(policies, KEY)])
        read = documents(sources.data, sources.fortunes, sizes.files)
        texts = texts_of(sources, policies, items, near, read, seen, shared, sizes)
        guard = Guard.from_parts(
            fitted(policies, KEY, sources.parts, bar("fitting", len(policies))), alpha=alpha, shared=shared
        )
        cases = {
            "asked": [c for c in texts.attacks.cases if c.kind in ("C", "facts")],
            **texts.near,
            "general": [c for c in texts.usual if len(c.text.split()) <= WORDS],
        }
        scanning = bar("what the guard says", sum(map(len, cases.values())))
        found = {kind: scanned(guard, listed, scanning) for kind, listed in cases.items()}
        fittings = {p.number: Fitting.of(p) for p in policies}
        usual = [b.text for b in benign("fit") if len(b.text.split()) <= WORDS][:BENIGN]
        every = [*usual, *(t for f in fittings.values() for t in f.texts())]
        every += [case.text for listed in cases.values() for case in listed]
        figures: dict[str, Any] = {"tier": {}, "novelty": {}}
        for name, encoder in encoders.items():
            whole = Whole(encoder, Normalizer())
            whole.vectors(every, bar(f"vectors of {name}", len(set(every))))
            step = bar(f"tiers on {name}", 2 * len(policies))
            tiers = {}
            for policy in policies:
                tiers[policy.number] = Tier.fit(policy, fittings[policy.number], usual, whole)
                step()
            figures["tier"][name] = tier_figures(tiers, alpha, found, whole)
            figures["novelty"][name] = novelty_figures(policies, fittings, usual, found, whole, step)
    return figures


def plot(figures: Mapping[str, Any], target: Path) -> None:
    """Draw what a tier adds, by family, and the ways of novelty."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - heavy

    names = list(figures["tier"]["MiniLM"])[::-1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 0.28 * len(names) + 2), layout="constrained")
    for shift, (encoder, colour) in enumerate({"MiniLM": "#c08a2d", "WordLlama": "#8a6bb1"}.items()):
        rows = figures["tier"][encoder]
        added = [100 * (rows[n]["with tier"] - rows[n]["guard"]) / rows[n]["n"] for n in names]
        left.barh(np.arange(len(names)) + 0.2 - 0.4 * shift, added, height=0.38, color=colour, label=encoder)
    left.set_yticks(range(len(names)), [f"{n} ({rows[n]['n']})" for n in names], fontsize=7.5)
    left.set_title("points added by a further tier; last the harmless kinds", fontsize=9)
    left.legend(fontsize=8, frameon=False)
    ways = [
        (f"{group}, {encoder}: {way}", found["recall at both"])
        for encoder, groups in figures["novelty"].items()
        for group, of in groups.items()
        for way, found in of.items()
    ][::-1]
    right.barh(range(len(ways)), [100 * share for _, share in ways], color="#3b6ea5", height=0.7)
    right.set_yticks(range(len(ways)), [name for name, _ in ways], fontsize=7.5)
    right.set_title("no neighbours: recall in %, 2 % of neighbours, .1 % of texts", fontsize=9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def main() -> None:
    """Measure, and write FILE and a picture of the same name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guards.encoders", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="result; the picture goes beside it as .png")
    parser.add_argument("--minilm", required=True, help="folder that `lethe models fetch minilm` printed")
    parser.add_argument("--data", type=Path, required=True, help="folder with tofu, knowundo_privacy and truthfulqa")
    parser.add_argument("--fortunes", type=Path, default=Path("/usr/share/games/fortunes"))
    parser.add_argument("--parts", type=Path, help="keep fitted parts here, or take them from here: no refit")
    parser.add_argument("--small", action="store_true", help="a few of everything, to see that it works")
    chosen = parser.parse_args()
    sources = Sources(chosen.data, chosen.fortunes, False, chosen.parts, None)
    alpha = GuardSettings().alpha
    sizes = SMALL if chosen.small else Sizes(per_family=1, each=400, files=1000)
    figures = measure(sources, sizes, f"minilm:{chosen.minilm}", Console(stderr=True), alpha)
    figures |= {"what": "a second encoder, and novelty", "alpha": alpha, "hardware": where()}
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    plot(figures, chosen.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
