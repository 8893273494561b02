"""TOFU for the bare model, the gold model (retain90) and the bare model behind Lethe; and the guard alone.

Everything is measured in this process: the guard and the gateway's decision say what is corrupted, the local engine
corrupts it, and its log-probabilities are read where no client can read them.

Probability, truth ratio, Forget Quality, extraction strength and membership score a given text: 370 of the 400 forget
answers repeat the author's name, and what stands in an answer is never corrupted. The model is then told whom the
question was about, which no client can do who only asks. Read them beside ROUGE, which scores what was generated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks.tofu.answers import Answered, answer, memberships
from benchmarks.tofu.data import SHORT, Question, evenly, forgotten_names, knowundo, parted, tofu_sets
from benchmarks.tofu.guard import GIVEN, Protection, knowundo_guard, tofu_guard, tofu_spec
from benchmarks.tofu.report import CEILING, entries, quality, summary
from benchmarks.where import where
from guards.guard import Shared
from steering.engine.local.model import Edit, LocalModel
from steering.methods import eco
from steering.methods.surrogate import Question as Named
from steering.program import Program
from steering.spec import EcoSpec

Sets = dict[str, list[Question]]
Answers = dict[str, list[Answered]]


def guard_figures(data: Path, other: Path | None, shared: Shared, items: int) -> tuple[Protection, dict[str, Any]]:
    """Fit the policy for TOFU; return it with the guard's figures on TOFU and, where `other` is given, on KnowUnDo."""
    sets = tofu_sets(data)
    given, held = parted(sets["forget"], GIVEN)
    protection = Protection.fit(tofu_spec(data, given), shared)
    figures: dict[str, Any] = {"tofu": tofu_guard(protection, data, held, sets, items), "knowundo": None}
    if other is not None:
        figures["knowundo"] = {
            granularity: knowundo_guard(other, granularity, shared, items) for granularity in ("entity", "facts")
        }
    return protection, figures


def evaluate(
    data: Path,
    models: Path,
    other: Path | None,
    protection: Protection,
    *,
    items: int,
    new_tokens: int,
    strength: float | None,
    device: str,
) -> tuple[dict[str, Any], dict[str, Answers], dict[str, dict[str, Any]]]:
    """Ask all arms.

    Args:
        models: folder with `full` and `retain90`.
        other: folder of KnowUnDo, whose private answers are the hold-out texts of the membership test.
        items: questions per set, the authors in turn; of the forget set those that no fit has seen.
        strength: of the corruption, in mean embedding norms; None to search it.

    Returns:
        Summary by arm; answers by arm and set; OpenUnlearning's entries by arm.
    """
    given, held = parted((everything := tofu_sets(data))["forget"], GIVEN)
    sets = {name: evenly(held if name == "forget" else asked, items) for name, asked in everything.items()}
    outside = evenly(knowundo(other)[0], items) if other is not None else []
    gold_model = LocalModel.load(str(models / "retain90"), "float32", device)
    gold = _ask(gold_model, sets, new_tokens)
    gold_outside = memberships(gold_model, outside) if outside else []
    del gold_model  # its memory is needed where the next model is large
    full = LocalModel.load(str(models / "full"), "float32", device)
    program = fit_program(full, data, given, protection, strength)
    bare = _ask(full, sets, new_tokens)
    arms: dict[str, Answers] = {
        "bare": bare,
        "gold": gold,
        "eco": _protected(full, sets, bare, program, protection, new_tokens),
        "eco oracle": _oracle(full, sets, program, protection, new_tokens),
    }
    full_outside = memberships(full, outside) if outside else []
    found, summaries = {}, {}
    for name, answers in arms.items():
        own = gold_outside if name == "gold" else full_outside
        found[name] = entries(answers, gold["forget"], own, gold_outside)
        summaries[name] = summary(answers, found[name], quality(answers["forget"], gold["forget"]))
    return summaries, arms, found


def fit_program(
    model: LocalModel, data: Path, given: Sequence[Question], protection: Protection, strength: float | None
) -> Program:
    """Search the strength as `lethe compile` does, on the questions that the operator gave.

    TOFU's answers are sentences without a marked value, so nothing counts as a leak here, and the search goes by how
    far the answers are from the model's own.
    """
    names = forgotten_names(data)
    asked = []
    for question in given:
        name = names[question.author]
        start = question.text.find(name)
        if start >= 0:
            asked.append(Named(question.text, ((start, start + len(name)),), ()))
    with Progress(console=Console(stderr=True)) as bars:
        task = bars.add_task("method", total=1.0)
        spec = EcoSpec(strength=strength)
        return eco.fit(
            model,
            asked,
            (),
            spec,
            lambda *_: False,
            lambda what, share: bars.update(task, completed=share, description=what),
        ).program


def _ask(model: LocalModel, sets: Sets, new_tokens: int) -> Answers:
    return {
        name: answer(model, asked, [None] * len(asked), new_tokens, options=name in SHORT)
        for name, asked in sets.items()
    }


def _protected(
    model: LocalModel, sets: Sets, bare: Answers, program: Program, protection: Protection, new_tokens: int
) -> Answers:
    """The guard decides; what it passes is answered bit for bit as by the bare model, so that is not asked again."""
    found = {}
    for name, asked in sets.items():
        edits = [protection.edit(model, program, question.text) for question in asked]
        touched = [i for i, edit in enumerate(edits) if edit is not None]
        chosen: list[Edit | None] = [edits[i] for i in touched]
        again = answer(model, [asked[i] for i in touched], chosen, new_tokens, options=name in SHORT)
        found[name] = list(bare[name])
        for i, new in zip(touched, again, strict=True):
            found[name][i] = new
    return found


def _oracle(model: LocalModel, sets: Sets, program: Program, protection: Protection, new_tokens: int) -> Answers:
    """The method without the guard's misses: all forget questions are corrupted; nothing else would be."""
    asked = sets["forget"]
    edits = [protection.edit(model, program, question.text, always=True) for question in asked]
    return {"forget": answer(model, asked, edits, new_tokens)}


def run(
    data: Path,
    models: Path | None,
    other: Path | None,
    out: Path,
    *,
    items: int,
    new_tokens: int = 200,
    strength: float | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure, and write `summary.json`, `guard.json` and one `TOFU_EVAL_<arm>.json` per arm to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    hardware = where()
    stamp = {"items": items, "seed": 0, "hardware": hardware, "commit": hardware["commit"]}
    protection, guard = guard_figures(data, other, Shared.load(), items)
    _write(out / "guard.json", guard | stamp)
    if models is None:
        return {"guard": guard, **stamp}
    origin = json.loads((models / "full" / "origin.json").read_text(encoding="utf-8"))
    summaries, arms, found = evaluate(
        data, models, other, protection, items=items, new_tokens=new_tokens, strength=strength, device=device
    )
    for name, listed in found.items():
        _write(out / f"TOFU_EVAL_{name.replace(' ', '_')}.json", listed)
    known = float(summaries["bare"]["forget_Q_A_ROUGE"])
    result = {
        "arms": summaries,
        "guard": guard,
        "measurable": known >= CEILING,
        "examples": {name: [answered.said for answered in answers["forget"][:3]] for name, answers in arms.items()},
        "new_tokens": new_tokens,
        "base": origin["base"],
        "training_steps": origin["steps"],
        **stamp,
    }
    _write(out / "summary.json", result)
    return result


def _write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
