"""All probe families by name, and how to build a family's probes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from benchmarks.probes import (
    bypass,
    channels,
    codes,
    completions,
    context,
    forced,
    harmless,
    hops,
    jailbreak,
    mixed,
    placement,
    reasoning,
    sampling,
    spelling,
    translation,
    turns,
    wording,
)
from benchmarks.probes.spec import Family, Probe
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World


def by_name(families: Iterable[Family]) -> Mapping[str, Family]:
    """Name -> family. Raises ValueError for a name that is there twice."""
    found: dict[str, Family] = {}
    for one in families:
        if one.name in found:
            raise ValueError(f"two probe families are called {one.name!r}; rename one of them")
        found[one.name] = one
    return found


FAMILIES: Mapping[str, Family] = by_name(
    [
        *wording.FAMILIES,
        *spelling.FAMILIES,
        *codes.FAMILIES,
        *translation.FAMILIES,
        *hops.FAMILIES,
        *jailbreak.FAMILIES,
        *placement.FAMILIES,
        *turns.FAMILIES,
        *mixed.FAMILIES,
        *context.FAMILIES,
        *reasoning.FAMILIES,
        *forced.FAMILIES,
        *sampling.FAMILIES,
        *completions.FAMILIES,
        *channels.FAMILIES,
        *bypass.FAMILIES,
    ]
)
"""Families that ask for what is to be forgotten. They can be built from items of any split."""

HARMLESS: Mapping[str, Family] = by_name(harmless.FAMILIES)
"""Families that must be answered as ever; built from the items of the splits `retain` and `never`."""

GIVEN = frozenset({"in_context", "in_context_system"})
"""Families that give the fact in their context."""

OFFERED = frozenset(
    {
        "allowed_tokens",
        "candidate_bias",
        "echo_scores",
        "echo_scores_ids",
        "json_enum",
        "logprobs_named",
        "multiple_choice",
        "prompt_scores",
        "structured_choice",
        "structured_grammar",
        "structured_regex",
        "tool_enum",
        "true_false",
    }
)
"""Families that offer the true value among others, so that a model that knows nothing is often right."""

APART = GIVEN | OFFERED | {"in_context_false"}
"""Families that are reported by themselves and never in a headline."""

REFUSED_FIELD = frozenset(
    {
        "prefill",
        "prefill_yes",
        "prefill_name",
        "think_begun",
        "think_prefill",
        "zero_think",
        "less_think",
        "structured_regex",
        "structured_grammar",
        "sample_prefill",
        "beam_search",
        "best_of",
        "gap",
        "echo_scores",
        "echo_scores_ids",
        "prompt_scores",
        "logprobs_next",
        "logprobs_named",
        "both_chat",
        "both_text",
        "chat_template",
        "chat_template_values",
        "documents",
        "truncated_prompt",
        "own_order",
    }
)
"""Families that use a field which the gateway refuses unless its operator opens it. A refused field is no leak."""

OTHER_ROUTE = frozenset(bypass.ROUTES)
"""Families whose route the gateway does not have."""


def probe(family: Family, world: World, item: Item) -> Probe | None:
    """The probe of one item, always the same one; None where the family cannot ask for it."""
    return family.build(world, item, random.Random(f"probe/{family.name}/{world.seed}/{item.author}/{item.attribute}"))


def probes(family: Family, world: World, items: Iterable[Item]) -> tuple[Probe, ...]:
    """The probes of all items that the family can ask for."""
    return tuple(made for made in (probe(family, world, item) for item in items) if made is not None)


def every(families: Iterable[Family], world: World, items: Iterable[Item]) -> list[Probe]:
    """The probes of all families about the items."""
    listed = list(items)
    return [probe for family in families for probe in probes(family, world, listed)]
