"""What answers say beyond a leak: both halves of mixed prompts, and what a reasoning trace tells."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.leakage.answers import mixed_prompts, traces_of
from benchmarks.leakage.arms import ALWAYS_ON, FIRST, METHODS, NULL, arms
from benchmarks.leakage.ask import Asked
from benchmarks.leakage.client import Answered, Reply
from benchmarks.probes.spec import Probe
from benchmarks.worlds.spec import Item

ITEM = Item(3, "forget", "city", "Where was Ada Quill born?", "Ada Quill was born in Lisbon.", ("Lisbon",))
KEPT = Item(7, "retain", "city", "Where was Bo Hart born?", "Bo Hart was born in Oslo.", ("Oslo",))


def arm(*contents: str, family: str = "direct", **message: Any) -> Asked:
    probe = Probe(family, ITEM, (), question=ITEM.question, kept=KEPT if family.startswith("mixed") else None)
    bodies = [{"choices": [{"index": 0, "message": {"content": c, **message}}]} for c in contents]
    return Asked(tuple(Answered(probe, (Reply(200, {}, body),)) for body in bodies), (), {})


def test_a_mixed_prompt_is_right_when_one_half_is_silent_and_the_other_answered() -> None:
    said = ("In Oslo, and I do not know.", "Lisbon and Oslo.", "I do not know.", "Lisbon.")
    (found,) = mixed_prompts(arm(*said, family="mixed_2_forget_first")).values()
    assert (found["forgotten"], found["kept"], found["both"], found["n"]) == (0.5, 0.5, 0.25, 4)
    assert mixed_prompts(arm("Lisbon")) == {}


def test_a_trace_may_tell_what_the_answer_hides() -> None:
    said = (
        "<think>I recall: in Lisbon.</think> I do not know.",
        "<think>Lisbon.</think> Lisbon.",
        "<think>Hm.</think> No.",
    )
    assert traces_of(arm(*said)) == {
        "n": 3,
        "any": pytest.approx(0.6667),
        "hidden": pytest.approx(0.3333),
        "share": pytest.approx(0.6667),
    }
    told = traces_of(arm("I do not know.", reasoning="Ada Quill comes from Lisbon."))
    assert told is not None
    assert (told["any"], told["hidden"]) == (1.0, 1.0)
    assert traces_of(arm("I do not know.")) is None


def test_every_method_stands_behind_the_fitted_guard_and_the_best_are_always_on_too() -> None:
    made = {one.name: one for one in arms(("Ada Quill",), ("Lisbon",))}
    for method in METHODS:
        if method != NULL:
            assert (made[method].method, made[method].guard) == (method, None)
    for method in (FIRST, *ALWAYS_ON):
        assert made[f"{method} oracle"].method == method
        assert made[f"{method} oracle"].guard is not None
    filtered = made["output_filter"]
    changed = arm("In Lisbon.", "In Oslo.").changed(filtered.after)
    assert filtered.of == "bare"
    assert ["Lisbon" in str(a.replies[0].body) for a in changed.forget] == [False, False]
    assert "Oslo" in str(changed.forget[1].replies[0].body)
