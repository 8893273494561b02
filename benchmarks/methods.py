"""What every method does to requests that are flagged: what leaks, and whether what is said is still an answer.

    python -m benchmarks.methods --json FILE [--targets world,harry-potter] [--tier tiny] [--questions 100]
        [--methods NAMES] [--ungated]

Methods are fitted as `lethe compile` does and run on the local engine. Every question is taken as caught: names where
the method masks names, the whole question otherwise; what the guard misses is measured elsewhere (`benchmarks.guards`).
Questions are those that no fit has seen and that the bare model answers rightly. `leak@16` is the share of questions
with the value in any of 16 answers at temperature 1. `strangers` are the bare model's own answers to the same questions
about invented names, which is what a model that never knew would be most like. "On topic" and the others are those of
`benchmarks.metrics`; perplexity is that of the answers under the bare model. With `--ungated` methods are also run on
questions about others, as if there were no guard: how many are still answered rightly.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.forgetting import distinct, perplexity, rate, repetition
from benchmarks.leakage.policy import write_policy
from benchmarks.methods_plot import plot, plot_search
from benchmarks.metrics.hallucination import outcome
from benchmarks.metrics.leak import leaks
from benchmarks.metrics.on_topic import on_topic, vectors
from benchmarks.where import where
from benchmarks.worlds.gold import gold
from benchmarks.worlds.publish import tier_world
from benchmarks.worlds.recipe import TIERS
from gateway.commands.compile import example_rows, forgotten_values, harmless
from gateway.policy import load_policy
from guards.encoder import load_encoder
from guards.reading import Reader
from guards.values import found_values
from steering.engine.local.generate import Sampler, Sampling
from steering.engine.local.model import Edit, LocalModel
from steering.methods import fitting
from steering.methods.harmless import NONE, Harmless
from steering.methods.lessons import Material
from steering.methods.surrogate import Question, invented_names, renamed
from steering.methods.trial import prompt
from steering.program import AnyProgram
from steering.spec import (
    CastSpec,
    EcoSpec,
    Mask,
    MethodSpec,
    NullspaceSpec,
    ProjectionSpec,
    RedirectSpec,
    TwinSpec,
    UldSpec,
)

SPECS: dict[str, MethodSpec] = {
    "eco noise": EcoSpec(),
    "eco flip": EcoSpec(kind="flip_top_k", dims=64),
    "redirect": RedirectSpec(name="redirect"),
    "projection": ProjectionSpec(name="projection"),
    "nullspace": NullspaceSpec(name="nullspace"),
    "cast": CastSpec(name="cast"),
    "uld": UldSpec(name="uld"),
    "twin": TwinSpec(name="twin"),
    "rank": TwinSpec(name="twin", rule="rank"),
}
TRAINED = ("uld", "twin", "rank")
"""Methods that train assistants: hours on a CPU for a model with knowledge of its own."""
TOKENS, DRAWS = 32, 16
KEY = bytes(32)
"""Of checkpoints that live as long as the run: what two methods train alike is trained once."""
EXAMPLE = Path("deploy/examples/harry-potter")


@dataclass(frozen=True, slots=True)
class Target:
    """A model and what it has to forget.

    Attributes:
        given: the policy's examples.
        held: questions that no fit has seen; `values` are those that would leak.
        wrong: other values of the attribute of each, if they are known.
        kept: questions about others, with the right value; the method must not be run on them.
        harmless: texts that conditional methods are calibrated on.
        names: of what must be forgotten, for methods that train.
        gold: a model that never knew.
    """

    model: LocalModel
    given: Sequence[Question]
    values: tuple[str, ...]
    held: Sequence[Question]
    wrong: Sequence[tuple[str, ...]]
    kept: Sequence[Question]
    harmless: Harmless = NONE
    gold: LocalModel | None = None
    names: tuple[str, ...] = ()


def named(text: str, names: Sequence[str], values: Sequence[str]) -> Question:
    """A question with the spans of the longest name in it."""
    at = next(((i, i + len(n)) for n in names if (i := text.casefold().find(n.casefold())) >= 0), None)
    return Question(text, (at,) if at else (), tuple(values))


def world(tier: str, most: int) -> Target:
    """The generated authors, and the models that learned all or only the others."""
    generated = tier_world(tier, 0)
    names = [n for a in generated.split("forget") for n in (a.name, *a.aliases)]
    names = sorted(names, key=len, reverse=True)
    with TemporaryDirectory() as folder:
        policy = load_policy(write_policy(generated, Path(folder), {"name": "eco"}))
        rows, values = example_rows(policy, Path(folder)), forgotten_values(policy, Path(folder))
        apart = harmless(policy, Path(folder))
    served = LocalModel.load(gold(generated, "full", TIERS[tier]))
    items = random.Random(1).sample(generated.items("forget"), k=len(generated.items("forget")))
    told = said(served, [Question(item.question, (), item.values) for item in items], None, "content")
    items = [item for item, answer in zip(items, told, strict=True) if leaks(answer, item.values, item.question)][:most]
    kept = random.Random(2).sample(generated.items("retain"), k=len(generated.items("retain")))[:most]
    return Target(
        served,
        [named(row["question"], names, [row["value"]]) for row in rows],
        values,
        [named(item.question, names, item.values) for item in items],
        [generated.wrong(item, 3) for item in items],
        [Question(item.question, ((0, len(item.question)),), item.values) for item in kept],
        apart,
        LocalModel.load(gold(generated, "retain-a", TIERS[tier])),
        tuple(names),
    )


def example(model: str, most: int) -> Target:
    """The example policy: its held-out questions that the model answers rightly."""
    policy = load_policy(EXAMPLE / "policy.yaml")
    names = [n for e in policy.guard.entities for n in (e.name, *e.aliases, *e.related)]
    names = sorted(names, key=len, reverse=True)
    served = LocalModel.load(model)

    def rows(place: str) -> list[dict[str, str]]:
        text = (EXAMPLE / place).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    asked = [named(row["question"], names, [row["value"]]) for row in rows("heldout/forget.jsonl")]
    asked = [q for q in asked if q.spans]
    asked = random.Random(1).sample(asked, k=min(len(asked), 4 * most))
    told = said(served, asked, None, "content")
    held = [q for q, answer in zip(asked, told, strict=True) if leaks(answer, q.values, q.text)][:most]
    single = [row["question"] for row in rows("heldout/retain.jsonl") if "question" in row]
    kept = [Question(text, ((0, len(text)),), ()) for text in single]
    given = [named(row["question"], names, [row["value"]]) for row in example_rows(policy, EXAMPLE)]
    values, apart = forgotten_values(policy, EXAMPLE), harmless(policy, EXAMPLE)
    return Target(served, given, values, held, [()] * len(held), kept[:most], apart, None, tuple(names))


def ordered(model: LocalModel, question: Question, program: AnyProgram | None, mask: Mask) -> tuple[list[int], Any]:
    """Token ids of a question and the edit of its mask."""
    spans = question.spans if mask == "entities" else [(0, len(question.text))]
    ids, flat = prompt(model, question.text, spans)
    return ids, Edit(program, 1.0, tuple(flat)) if program is not None else None


def said(model: LocalModel, asked: Sequence[Question], program: AnyProgram | None, mask: Mask) -> list[str]:
    """Greedy answers."""
    batch, edits = zip(*(ordered(model, question, program, mask) for question in asked), strict=True)
    answers = model.generate(batch, edits, max_tokens=TOKENS)
    return [model.tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]


def drawn(model: LocalModel, question: Question, program: AnyProgram | None, mask: Mask, seed: int) -> list[str]:
    """`DRAWS` answers at temperature 1."""
    ids, edit = ordered(model, question, program, mask)
    sampling = Sampling(max_tokens=TOKENS, seed=seed * DRAWS, eos=model.eos)
    samplers = [Sampler(sampling, ids, model.vocabulary, i) for i in range(DRAWS)]
    state = model.prefill([ids], [edit])
    state.select([0] * DRAWS)

    def pick(logits: torch.Tensor, rows: Sequence[int]) -> list[int]:
        return [samplers[i].pick(row).id for i, row in zip(rows, logits, strict=True)]

    answers = state.run(pick, model.eos, [TOKENS] * DRAWS)
    return [model.tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]


def figures(
    target: Target, reader: Reader, model: LocalModel, program: AnyProgram | None, mask: Mask, asked: Sequence[Question]
) -> dict[str, Any]:
    """Figures of a model's answers to `asked`, which stand for the held-out questions, one by one."""
    answers = said(model, asked, program, mask)
    both = list(zip(asked, answers, target.held, target.wrong, strict=True))
    many = [
        any(leaks(answer, h.values, q.text) for answer in drawn(model, q, program, mask, seed))
        for seed, (q, _, h, _) in enumerate(both)
    ]
    pairs = [(q.text, answer) for q, answer, _, _ in both]
    found = {
        "leak@1": rate(sum(leaks(answer, h.values, q.text) for q, answer, h, _ in both), len(both)),
        "leak@16": rate(sum(many), len(many)),
        "on_topic": round(on_topic(vectors(reader, [q for q, _ in pairs]), vectors(reader, answers)).rate, 4),
        "repetition": round(fmean(map(repetition, answers)), 4),
        "distinct_2": round(distinct(answers), 4),
        "perplexity": round(perplexity(target.model, pairs), 2),
        "examples": pairs[:3],
    }
    if any(target.wrong):
        outcomes = [outcome(answer, h.values, wrong, q.text) for q, answer, h, wrong in both]
        found["wrong_value"] = round(outcomes.count("wrong") / len(outcomes), 4)
    return found


def right(asked: Sequence[Question], answers: Sequence[str]) -> dict[str, Any]:
    """Share of questions about others that are answered rightly, of those whose answer is known."""
    pairs = [(q, answer) for q, answer in zip(asked, answers, strict=True) if q.values]
    return rate(sum(leaks(answer, q.values, q.text) for q, answer in pairs), len(pairs))


def report(target: Target, reader: Reader, chosen: Sequence[str], work: Path, *, ungated: bool) -> dict[str, Any]:
    """One row per method, or those of the chosen ones, and those it is compared with; training goes on in `work`."""
    names = invented_names(60, 7)
    strangers = [renamed(q, names, random.Random(i)) for i, q in enumerate(target.held)]
    rows = {
        "bare": figures(target, reader, target.model, None, "content", target.held),
        "strangers": figures(target, reader, target.model, None, "content", strangers),
    }
    if target.gold is not None:
        rows["gold"] = figures(target, reader, target.gold, None, "content", target.held)
    plain = said(target.model, target.kept, None, "content")
    for name in chosen or SPECS:
        spec = SPECS[name]
        print(name, file=sys.stderr, flush=True)
        fitted = fitting.fit(
            target.model,
            target.given,
            target.values,
            spec,
            lambda q, a, v: bool(found_values(a, v, q)),
            lambda *_: None,
            target.harmless,
            Material(target.names, work, KEY),
        )
        row = figures(target, reader, target.model, fitted.program, spec.mask, target.held)
        flagged = said(target.model, target.kept, fitted.program, spec.mask)
        row["same_answer_when_wrongly_flagged"] = round(fmean(a == b for a, b in zip(plain, flagged, strict=True)), 4)
        row["program"] = fitting.describe(fitted.program, target.model)
        if fitted.condition:
            row["condition"] = {key: round(value, 4) for key, value in fitted.condition.items()}
        if ungated:
            row["neighbours_right"] = {"gated": right(target.kept, plain), "ungated": right(target.kept, flagged)}
        if fitted.curves:
            row["search"] = [asdict(point) for point in fitted.points]
            row["search_surrogate"] = asdict(fitted.surrogate)
            row["training"] = {role: [[round(x, 4) for x in row] for row in c] for role, c in fitted.curves.items()}
        rows[name] = row
    size = {"questions": len(target.held), "neighbours": len(target.kept), "examples": len(target.given)}
    return {"model": target.model.name, **size, "methods": rows}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--targets", default="world,harry-potter")
    parser.add_argument("--tier", default="tiny", choices=sorted(TIERS))
    parser.add_argument("--model", default="smollm2-135m-instruct", help="for harry-potter")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--methods", help="comma-separated; left out: all, on harry-potter those that train nothing")
    parser.add_argument("--ungated", action="store_true", help="also run methods on questions about others")
    options = parser.parse_args()
    wanted = options.methods.split(",") if options.methods else []
    if unknown := set(wanted) - SPECS.keys():
        parser.error(f"--methods: {', '.join(sorted(unknown))} is none of {', '.join(SPECS)}")
    reader = Reader(load_encoder("wordllama"))
    with torch.no_grad(), TemporaryDirectory() as work:  # tensors of inference mode could not be trained beside
        targets = {
            name: report(
                world(options.tier, options.questions)
                if name == "world"
                else example(options.model, options.questions),
                reader,
                wanted or [label for label in SPECS if name == "world" or label not in TRAINED],
                Path(work),
                ungated=options.ungated,
            )
            for name in options.targets.split(",")
        }
    result = {"targets": targets, "where": where()}
    options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    plot(result, options.json.with_suffix(".png"))
    plot_search(result, options.json.with_suffix(".search.png"))


if __name__ == "__main__":
    main()
