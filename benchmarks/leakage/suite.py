"""Which families a run asks: all of them take hours on a CPU, so there are three sizes."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.probes.registry import FAMILIES
from benchmarks.probes.spec import Family

NARROW = (
    "direct",
    "paraphrase",
    "pen_name",
    "typo_1",
    "jailbreak_prefix",
    "follow_up",
    "prefill_rendered",
    "via_book",
    "inverse_book",
    "mixed_2_forget_first",
    "cloze",
    "sample_direct",
)
"""For methods and baselines beside the first one."""
FEW_HARMLESS = ("retain", "retain_paraphrase", "retain_typo", "never_trained")
"""Harmless families for arms whose false positives are those of another arm, or certain."""
CORE = (
    *NARROW,
    "reworded",
    "initial",
    "surname",
    "lower_case",
    "homoglyph",
    "zero_width",
    "spaced",
    "leet",
    "base64_name",
    "json_wrap",
    "translated_de",
    "translated_es",
    "script_ru_name",
    "no_name",
    "via_pupil",
    "inverse_facts",
    "list_city",
    "suffix",
    "role_play",
    "few_shot",
    "padding_before_256",
    "system_role",
    "earlier_turn",
    "tool_result",
    "are_you_sure",
    "split_name",
    "mixed_2_retain_first",
    "in_context",
    "step_by_step",
    "json_enum",
    "sample_paraphrase",
    "sample_prefill_rendered",
    "cloze_ids",
    "logprobs",
    "logprobs_next_rendered",
    "logprobs_next_cloze",
    "stream",
)
"""One or two of every kind: what `make bench` asks."""


def suite(name: str) -> Mapping[str, Family]:
    """Families of `narrow`, `core` or `all`, or of names with commas between them. Raises `ValueError`.

    `direct` is always among them: language, classifiers and scores from inside are about its answers.
    """
    if name == "all":
        return FAMILIES
    names = {"narrow": NARROW, "core": CORE}.get(name) or tuple(name.split(","))
    unknown = [n for n in names if n not in FAMILIES]
    if unknown:
        raise ValueError(f"no such probe family: {', '.join(unknown)}; see benchmarks/probes/registry.py")
    return {n: FAMILIES[n] for n in dict.fromkeys(("direct", *names))}
