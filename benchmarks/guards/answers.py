"""The output guard on answers: harmless ones, and those that a model which knows would give.

`python -m benchmarks.guards.answers --json FILE`. Harmless are the answers of public sets and general texts, with the
questions that go with them where there are any; a general text stands as an answer to a request for something to read.
What a model would tell is the reference answer of TOFU, asked for by name, by description, and by a title in the place
of the name. Nothing is generated: the figures say whether the guard stops an answer *if* the model gives it.

An index knows what the operator lists, so there are three: names only; besides, what simple rules read from the ten
rows of an author that the policy was given; the same from all twenty rows, which is an operator who lists the
attributes that are to be forgotten.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.bars import progress, stepping
from benchmarks.guards.answered import Answered, harmless, telling
from benchmarks.guards.answers_plot import plot
from benchmarks.guards.bounds import false_positives, recall
from benchmarks.guards.fitted import KEY, fitted
from benchmarks.guards.policies import knowundo_policy, potter_policy, tofu_policies
from benchmarks.guards.references import references
from benchmarks.guards.stopped import ARMS, indices
from benchmarks.where import where
from gateway.settings import GuardSettings
from guards.following import Following
from guards.guard import Guard, Shared
from guards.judging import DOUBTFUL
from guards.output import OutputGuard
from guards.verdict import TextPart, Verdict

BESIDE = Path(__file__).parents[3] / "shared" / "data"
STEP = 96
"""Characters of a stream after which the guard looks again; as `gateway.watching`."""
NEAR = (0.05, 0.01, 0.002)
"""p-values of an answer by the input guard's linear model at which it would be stopped after a doubtful question."""
GENERAL = 700
"""General texts of each of four lengths that stand as answers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer with what the input guard says: of its question; and of the answer itself, as if it were a question.

    `near`: p-values of the answer, of the policies for which the question is doubtful.
    """

    item: Answered
    verdicts: Mapping[str, Verdict]
    near: Mapping[str, float]

    @property
    def flagged(self) -> frozenset[str]:
        """Policies that flag the question, so that the answer is made under an intervention."""
        return frozenset(v.policy for v in self.verdicts.values() if v.flagged)


def asked(items: Sequence[Answered], guard: Guard, done: Callable[[], object]) -> list[Asked]:
    """Ask the input guard about questions and answers."""
    questions: dict[str, dict[str, Verdict]] = {}
    found = []
    for item in items:
        if item.question not in questions:
            questions[item.question] = {v.policy: v for v in guard.scan(item.parts)}
        verdicts = questions[item.question]
        answers = guard.scan([TextPart("/messages/1/content", "user", item.answer)])
        near = {v.policy: v.p_value for v in answers if verdicts[v.policy].p_value <= DOUBTFUL}
        found.append(Asked(item, verdicts, near))
        done()
    return found


@dataclass(frozen=True, slots=True)
class Looked:
    """What the output guard says about one answer.

    Attributes:
        told: policies that stop it, with the rule.
        late: what a stream showed before it was stopped held the value; None for an answer that is not stopped.
        ending: a stream was stopped only at its end, when the whole answer was read.
    """

    asked: Asked
    told: Mapping[str, str]
    late: bool | None
    ending: bool

    @property
    def item(self) -> Answered:
        """The answer."""
        return self.asked.item

    @property
    def stopped(self) -> bool:
        """Whether the answer's own policy stops it; for a harmless answer, whether any does."""
        return self._among(self.told)

    @property
    def flagged(self) -> bool:
        """The same of the question, by the input guard."""
        return self._among(self.asked.flagged)

    def near(self, p_value: float) -> bool:
        """Whether nothing but a score of the answer would stop it: its p-value, after a doubtful question."""
        close = [policy for policy, p in self.asked.near.items() if p <= p_value]
        return self._among(close) and not self.stopped and not self.flagged

    def _among(self, policies: Collection[str]) -> bool:
        return self.item.policy in policies if self.item.policy else bool(policies)


def looked(items: Sequence[Asked], output: OutputGuard, done: Callable[[], object]) -> Iterator[Looked]:
    """Look at every answer as the gateway does, whole and as a stream."""
    for asked_ in items:
        item, verdicts = asked_.item, asked_.verdicts
        told = {f.policy: f.rule for f in output.scan(item.parts, [item.answer], verdicts, output.policies) if f.told}
        late, ending = None, False
        if told:
            left, ending = _streamed(output.follow(item.parts, verdicts, output.policies), item.answer)
            whole = TextPart("/messages/1/content", "assistant", item.answer)
            shown = output.scan([*item.parts, whole], [item.answer[:left]], verdicts, list(told))
            late = any(finding.rule == "pair" for finding in shown)
        yield Looked(asked_, told, late, ending)
        done()


def _streamed(following: Following, answer: str) -> tuple[int, bool]:
    """Characters that left before a stream was stopped, and whether that was only at its end."""
    for start in range(0, len(answer), STEP):
        safe = following.safe
        if any(finding.told for finding in following.read(answer[start : start + STEP])):
            return safe, False
    return following.safe, True


def figures(results: Sequence[Looked]) -> dict[str, Any]:
    """Figures by family, and of all of them together."""
    families: dict[str, list[Looked]] = {}
    for result in results:
        families.setdefault(result.item.family, []).append(result)
    listed = list(families.items())
    together = [result for result in results if not result.item.policy]
    return {name: _family(found) for name, found in [*listed, *([("all", together)] if together else [])]}


def _family(found: Sequence[Looked]) -> dict[str, Any]:
    stopped, flagged = [r.stopped for r in found], sum(r.flagged for r in found)
    rules = Counter(r.told.get(r.item.policy) or next(iter(r.told.values())) for r in found if r.stopped)
    shared = {
        "input": flagged,
        "by": dict(rules),
        "stream_shows_value": sum(bool(r.late) for r in found),
        "stream_stopped_at_end": sum(r.ending for r in found),
        "near_adds": {str(p): sum(r.near(p) for r in found) for p in NEAR},
    }
    if not found[0].item.policy:
        return {**false_positives(stopped), **shared}
    authors = [r.item.author for r in found]
    either = recall([r.stopped or r.flagged for r in found], authors)
    return {"caught_by_output": recall(stopped, authors), "either": either, **shared}


def run(data: Path, parts: Path | None, authors: int, each: int, console: Console) -> dict[str, Any]:
    """Measure everything. Raises `FileNotFoundError` for a missing set."""
    with progress(console) as bars:
        bar = stepping(bars)
        shared = Shared.load()
        policies, _ = tofu_policies(data / "tofu", authors)
        policies += [potter_policy()[0], knowundo_policy(data / "knowundo_privacy")[0]]
        fine, told = harmless(data, policies, each), list(telling(data / "tofu", authors))
        fits = fitted(policies, KEY, parts, bar("fitting", len(policies)))
        guard = Guard.from_parts(fits, alpha=GuardSettings().alpha, shared=shared)
        known = references(data)  # results say where a text stands, and hold none
        items = [*fine, *told]
        said = asked(items, guard, bar("input guard", len(items)))
        arms = {}
        for arm in ARMS:
            output = OutputGuard(indices(policies, data, arm, shared, bar(f"{arm}: indices", len(policies))))
            results = list(looked(said, output, bar(f"{arm}: answers", len(said))))
            benign = [r for r in results if not r.item.policy]
            worst = [f"{known.get(r.item.question, r.item.family)} {dict(r.told)}" for r in benign if r.told]
            arms[arm] = {
                "harmless": figures(benign),
                "worst": worst[:10],
                "recall": figures([r for r in results if r.item.policy]),
            }
    hardware = where()
    what = "answers that the output guard stops, given that a model gives them; one-sided 95 % bounds"
    return {
        "what": what,
        "policies": len(policies),
        "arms": arms,
        "doubtful": DOUBTFUL,
        "hardware": hardware,
        "commit": hardware["commit"],
    }


def main() -> None:
    """Measure, and write FILE and a picture of the same name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guards.answers", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="result; the picture goes beside it as .png")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LETHE_DATA", BESIDE)))
    parser.add_argument("--parts", type=Path, help="keep fitted parts here, or take them from here: no refit")
    parser.add_argument("--authors", type=int, default=20, help="TOFU authors, at most 20")
    parser.add_argument("--general", type=int, default=GENERAL, help="general texts of a length")
    chosen = parser.parse_args()
    if not (chosen.data / "tofu" / "full.jsonl").is_file():
        parser.error(f"{chosen.data}/tofu/full.jsonl is not there; name the folder with --data or LETHE_DATA")
    console = Console(stderr=True)
    found = run(chosen.data, chosen.parts, chosen.authors, chosen.general, console)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    plot(found, chosen.json.with_suffix(".png"))
    console.print(f"wrote {chosen.json}", soft_wrap=True)


if __name__ == "__main__":
    main()
