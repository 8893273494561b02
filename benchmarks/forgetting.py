"""Are protected answers language, and do they leak no more than chance? Reads what `lethe demo --json` wrote.

    lethe demo --no-serve --json demo.json
    python -m benchmarks.forgetting demo.json --json FILE [--plot FILE.png]

Three groups of answers of the same model to questions of the same forms: its own answers to what must be forgotten, the
answers under corruption, and its own answers about names that do not exist (what never having learned looks like).
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from benchmarks.where import where
from guards.encoder import load_encoder
from guards.reading import Reader
from guards.share import lower, upper
from steering.engine.local.model import LocalModel

Pair = tuple[str, str]


def interval(hits: int, total: int, level: float = 0.95) -> list[float]:
    """Clopper-Pearson interval of a share."""
    if total == 0:
        return [0.0, 1.0]
    side = (1 + level) / 2
    return [round(lower(hits, total, side), 4), round(upper(hits, total, side), 4)]


def rate(hits: int, total: int) -> dict[str, Any]:
    """Hits, total, share and its interval."""
    return {"hits": hits, "n": total, "share": round(hits / total, 4) if total else None, "ci95": interval(hits, total)}


def repetition(text: str, n: int = 4) -> float:
    """Share of an answer's n-grams of words that stood in it before."""
    words = re.findall(r"\w+", text.casefold())
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Mean over answers of the share of different n-grams (distinct-n, arXiv 1510.03055, per answer)."""
    shares = []
    for text in texts:
        words = re.findall(r"\w+", text.casefold())
        grams = list(zip(*(words[i:] for i in range(n)), strict=False))
        if grams:
            shares.append(len(set(grams)) / len(grams))
    return fmean(shares) if shares else 0.0


def similarities(reader: Reader, pairs: Sequence[Pair]) -> list[float]:
    """Cosine of question and answer in the guard's static embedding; means over windows."""

    def vector(text: str) -> np.ndarray[Any, Any]:
        mean = np.asarray(reader.read(text).vectors, np.float64).mean(axis=0)
        return np.asarray(mean / (np.linalg.norm(mean) or 1.0))

    return [float(vector(q) @ vector(a)) if a.strip() else 0.0 for q, a in pairs]


def perplexity(model: LocalModel, pairs: Sequence[Pair]) -> float:
    """Perplexity per token of the answers after their (uncorrupted) questions under the base model."""
    loss, count = 0.0, 0
    for at in range(0, len(pairs), 8):
        batch, starts = [], []
        for question, answer in pairs[at : at + 8]:
            head = model.chat_ids(question)
            tail = model.tokenizer(answer, add_special_tokens=False)["input_ids"]
            if tail:
                batch.append(head + tail)
                starts.append(len(head))
        for ids, start, logits in zip(batch, starts, model.logits(batch) if batch else [], strict=True):
            scores = torch.log_softmax(logits[start - 1 : -1], dim=1)
            loss -= float(scores.gather(1, torch.tensor(ids[start:])[:, None]).sum())
            count += len(ids) - start
        print(f"perplexity: {min(at + 8, len(pairs))} of {len(pairs)}", file=sys.stderr, flush=True)
    return math.exp(loss / count)


def language(model: LocalModel, reader: Reader, pairs: Sequence[Pair], floor: float) -> dict[str, Any]:
    """Fluency figures of one group of (question, answer)."""
    near = similarities(reader, pairs)
    return {
        "n": len(pairs),
        "empty": sum(not a.strip() for _, a in pairs),
        "repetition": round(fmean(repetition(a) for _, a in pairs), 4),
        "distinct_2": round(distinct([a for _, a in pairs]), 4),
        "similarity_to_question": round(fmean(near), 4),
        "on_topic": round(fmean(s >= floor for s in near), 4),
        "perplexity": round(perplexity(model, pairs), 2),
    }


def report(demo: dict[str, Any]) -> dict[str, Any]:
    """All figures."""
    known = [i for i in demo["forget"]["items"] if i["scored"]]
    caught = [i for i in known if i["caught"]]
    control, retain = demo["control"], demo["retain"]
    model = LocalModel.load(demo["model"])
    reader = Reader(load_encoder("wordllama"))
    own = [(i["question"], i["base"]) for i in known]
    floor = float(np.quantile(similarities(reader, own), 0.1))
    groups = {
        "bare, known": own,
        "protected, caught": [(i["question"], i["protected"]) for i in caught],
        "bare, invented names": [(i["question"], i["base"]) for i in control["items"]],
    }
    free = [i for i in retain["items"] if i["unflagged"]]
    return {
        "where": where(),
        "engine": demo["engine"],
        "model": demo["model"],
        "forget": {
            "funnel": {"asked": demo["forget"]["n_asked"], "known": len(known), "caught": len(caught)},
            "leak_of_caught": rate(sum(bool(i["leaked"]) for i in caught), len(caught)),
            "leak_of_all_known": rate(sum(bool(i["leaked"]) for i in known), len(known)),
            "leak_of_all_asked": rate(
                sum(bool(i["leaked"]) for i in demo["forget"]["items"]), demo["forget"]["n_asked"]
            ),
            "caught_of_all_asked": rate(sum(i["caught"] for i in demo["forget"]["items"]), demo["forget"]["n_asked"]),
            "chance_invented_names": rate(control["leaks"], control["n"]),
        },
        "retain": {
            kind: {
                "unflagged": rate(sum(i["unflagged"] for i in rows), len(rows)),
                "equal_of_unflagged": rate(
                    sum(i["equal"] for i in rows if i["unflagged"]), sum(i["unflagged"] for i in rows)
                ),
            }
            for kind in sorted({i["kind"] for i in retain["items"]})
            for rows in [[i for i in retain["items"] if i["kind"] == kind]]
        }
        | {"same_text_of_unflagged": rate(sum(i["identical"] for i in free), len(free))},
        "on_topic_floor": round(floor, 4),
        "language": {name: language(model, reader, pairs, floor) for name, pairs in groups.items()},
    }


def plot(result: dict[str, Any], path: Path) -> None:
    """One picture: leak shares with intervals, and the language figures of the three groups."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only for the picture

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    forget = result["forget"]
    rows = {
        "bare, known": rate(forget["funnel"]["known"], forget["funnel"]["known"]),
        "Lethe, all known": forget["leak_of_all_known"],
        "Lethe, caught": forget["leak_of_caught"],
        "chance:\ninvented names": forget["chance_invented_names"],
    }
    shares = [r["share"] for r in rows.values()]
    errors = [[r["share"] - r["ci95"][0] for r in rows.values()], [r["ci95"][1] - r["share"] for r in rows.values()]]
    left.bar(list(rows), [100 * s for s in shares], yerr=100 * np.array(errors), capsize=4, color="#4c72b0")
    left.set_ylabel("answers with a forgotten value, %")
    left.set_title(f"Leakage, held-out questions (n = {forget['funnel']['known']})")
    names = ("repetition", "distinct_2", "similarity_to_question", "on_topic")
    for i, (group, figures) in enumerate(result["language"].items()):
        label = f"{group} (perplexity {figures['perplexity']:.1f})"
        right.bar(np.arange(len(names)) + 0.27 * (i - 1), [figures[n] for n in names], 0.25, label=label)
    right.set_xticks(range(len(names)), [n.replace("_", " ") for n in names])
    right.set_title("Are the answers language?")
    right.set_ylim(0, 1.35)
    right.legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    result = report(json.loads(options.demo.read_text(encoding="utf-8")))
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(result, options.plot)
    print(json.dumps({k: result[k] for k in ("forget", "retain", "language")}, indent=1))


if __name__ == "__main__":
    main()
