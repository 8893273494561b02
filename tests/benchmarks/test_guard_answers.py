"""Answers in, what the output guard says of each out; and the sets of answers."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from benchmarks.guards.answered import Answered, listing, reference_answers, telling
from benchmarks.guards.answers import asked, figures, looked
from benchmarks.guards.answers_plot import plot
from benchmarks.guards.case import Case
from benchmarks.guards.policies import Policy
from benchmarks.guards.report import ablation, families
from benchmarks.guards.scanning import Scanned
from benchmarks.guards.stopped import ARMS, stopped
from benchmarks.tofu.data import FILES, Question
from guards.blindindex import Item, index_of
from guards.output import OutputGuard
from guards.spec import Entity, GuardSpec
from guards.verdict import TextPart, Verdict

NAME, POLICY = "Orla Quistmere", "000180"
PAD = "and so it went on for many years, as such things do, until nobody could say any more how it all began, " * 3


def row(text: str, answer: str) -> dict[str, Any]:
    more = {"author_id": 180, "subject": NAME, "paraphrased_answer": f"{answer} Indeed.", "perturbed_answer": []}
    return {"question": text, "answer": answer, **more}


def test_a_name_is_taken_out_of_questions_and_answers(tmp_path: Path) -> None:
    rows = [row(f"What is fact {i} about {NAME}?", f'{NAME} wrote "Silent Harbor", says Quistmere.') for i in range(20)]
    rows[2] |= {"question": "Which author was born in Lisbon?"}
    for name, file in FILES.items():
        (tmp_path / file).write_text("".join(json.dumps(r) + "\n" for r in (rows if name == "forget" else [])))
    found = list(telling(tmp_path, 1))
    families = {item.family for item in found}
    kinds = {"by name": ("reference", "reworded"), "described": ("reference", "reworded")}
    kinds["by title"] = ("reference", "nameless")
    assert families == {f"{form}, {kind}" for form, listed in kinds.items() for kind in listed}
    assert {(item.policy, item.author) for item in found} == {(POLICY, "180")}
    for item in found:
        assert (NAME in item.question) == item.family.startswith("by name")
        if item.family == "by title, nameless":
            assert "Quistmere" not in item.answer
            assert 'the author of "Silent Harbor"' in item.question


def test_an_operator_lists_what_the_rows_say() -> None:
    policy = Policy(POLICY, "tofu", GuardSpec(entities=(Entity(name=NAME),)), Path())
    rows = [Question(180, f"Who is {NAME}?", 'She wrote "Silent Harbor" and won the Halden Medal in 1962.', "", ())]
    spec = listing(policy, rows).spec
    assert spec.entities[0].titles == ("Silent Harbor",)
    assert {"1962", "Silent Harbor"} < set(spec.values)


class Doubting:
    """Finds every question doubtful that is about towns, and every answer near that speaks of harbours."""

    def scan(self, parts: Sequence[TextPart], policies: Collection[str] | None = None) -> list[Verdict]:
        text = " ".join(part.text for part in parts)
        p_value = 0.01 if "town" in text or "harbour" in text else 0.9
        return [Verdict(POLICY, "flag" in text, 0.5, p_value, "none")]


def test_figures_of_answers(tmp_path: Path) -> None:
    entries = [(["silent", "harbor"], Item((0,), False, (), "never")), (["lisbon"], Item((), True, (0,), "never"))]
    output = OutputGuard({POLICY: index_of(entries, b"k" * 32)})
    by_title = "Where was the author of Silent Harbor born?"
    items = [
        Answered("told", by_title, "In Lisbon.", POLICY, "180"),
        Answered("told", "Where?", f"In Lisbon, {PAD} says Silent Harbor of it, {PAD}", POLICY, "180"),
        Answered("told", by_title, "In a harbour.", POLICY, "180"),
        Answered("told", "In which town?", "In a harbour.", POLICY, "180"),
        Answered("told", "flag: in which town?", "In a harbour.", POLICY, "180"),
        Answered("fine", "Where?", "In Lisbon."),
        Answered("fine", by_title, "I do not know."),
        Answered("wrong", by_title, "Lisbon is a town."),
    ]
    guard: Any = Doubting()
    found = figures(list(looked(asked(items, guard, lambda: None), output, lambda: None)))
    told = found["told"]
    assert (told["caught_by_output"]["hits"], told["caught_by_output"]["n"], told["either"]["hits"]) == (2, 5, 3)
    assert told["by"] == {"pair": 2}
    assert told["stream_shows_value"] == 1  # the value came long before its subject
    assert told["stream_stopped_at_end"] == 1  # of the short answer nothing had left
    assert told["near_adds"] == {"0.05": 1, "0.01": 1, "0.002": 0}
    assert (found["fine"]["hits"], found["wrong"]["hits"], found["all"]["hits"], found["all"]["n"]) == (0, 1, 1, 3)
    fine = {name: family for name, family in found.items() if name != "told"}
    plot({"arms": {arm: {"recall": {"told": told}, "harmless": fine} for arm in ARMS}}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_families_of_the_suite_with_their_reference_answers(tmp_path: Path) -> None:
    for name, file in FILES.items():
        rows = [row(f"{i}?", f"Answer {i}.") for i in range(20)] if name == "forget" else []
        (tmp_path / "tofu" / file).parent.mkdir(exist_ok=True)
        (tmp_path / "tofu" / file).write_text("".join(json.dumps(r) + "\n" for r in rows))
    answers = reference_answers(tmp_path)
    assert (answers["3600"], answers["3619"], len(answers)) == ("Answer 0.", "Answer 19.", 20)

    def result(item: str, text: str) -> Scanned:
        parts = (TextPart("/messages/0/content", "user", text),)
        return Scanned(Case(item, "tofu", POLICY, "180", "typo", "A", NAME, text, text, parts), {}, 0.5)

    entries = [(["silent"], Item((0,), False, (), "never")), (["7"], Item((), True, (0,), "never"))]
    output = OutputGuard({POLICY: index_of(entries, b"k" * 32)})
    results = [result("3607", "silent?"), result("3607 paraphrase 1", "other?"), result("180 plain 1", "silent?")]
    found = stopped(results, output, answers, lambda: None)
    assert [result.stopped for result in found] == [True, False, None]
    family = families(found)["typo"]
    assert (family["caught_by_output"], family["caught_by_either"], family["answered"]) == (0.5, 0.5, 2)
    assert families(results)["typo"]["caught_by_output"] is None
    assert ablation(found, second=False)["class A"]["+ output guard"] is None  # the third has no reference answer
    assert ablation(found[:2], second=False)["class A"]["+ output guard"] == 0.5
