"""What was measured -> the figures of `side_channels.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.forgetting import rate
from benchmarks.leakage.audit import acted
from benchmarks.side_channels.ask import Answers
from benchmarks.side_channels.load import isolation
from benchmarks.side_channels.run import Measured
from benchmarks.side_channels.seen import Seen
from benchmarks.side_channels.told import by_counts, by_text, by_time
from benchmarks.side_channels.visible import differences

CONTENT = {
    "Lethe: forgotten | gold": ("lethe/forget", "gold/forget"),
    "Lethe: forgotten | strangers": ("lethe/forget", "lethe/never"),
    "Lethe, oracle: forgotten | gold": ("oracle/forget", "gold/forget"),
    "Lethe, oracle: forgotten | strangers": ("oracle/forget", "lethe/never"),
    "refusal: forgotten | gold": ("refusal/forget", "gold/forget"),
    "refusal: forgotten | strangers": ("refusal/forget", "refusal/never"),
    "floor: gold, other seed | gold": ("gold-b/forget", "gold/forget"),
    "floor: gold: forgotten | strangers": ("gold/forget", "gold/never"),
}
"""Pairs of sides whose texts and counts are told apart; gold never met either kind of author."""
PROTECTED = tuple(name for name in CONTENT if name.startswith("Lethe"))
NATURAL = {
    "Lethe: forgotten | strangers": ("lethe/forget", "lethe/never"),
    "Lethe: forgotten | gold": ("lethe/forget", "gold/forget"),
    "floor: gold, other seed | gold": ("gold-b/forget", "gold/forget"),
}
FIXED = {
    "Lethe: forgotten | strangers": ("lethe/forget", "lethe/never"),
    "Lethe: same questions, flagged | not": ("lethe/forget", "off/forget"),
    "floor: nothing flagged: forgotten | strangers": ("off/forget", "off/never"),
    "floor: same questions, two gateways": ("lethe/never", "off/never"),
}
"""At equal length and on one engine, so that nothing but the treatment differs between the sides of a floor's twin."""

MODEL = ("system fingerprint",)
"""What an engine derives from its model, so that it differs between any two models."""


def figures(measured: Measured, seed: int = 0) -> dict[str, Any]:
    """All of them, as JSON."""
    sets = {"content": measured.content, "natural": measured.natural, "fixed": measured.fixed}
    return {
        "text": {name: by_text(*_sides(measured.content, pair), seed) for name, pair in CONTENT.items()},
        "counts": {name: by_counts(*_sides(measured.content, pair), seed) for name, pair in CONTENT.items()},
        "counts, few at a time": {
            name: by_counts(*_sides(measured.natural, pair), seed) for name, pair in NATURAL.items()
        },
        "time, natural length": _times(measured.natural, NATURAL, seed),
        "time, fixed length": _times(measured.fixed, FIXED, seed),
        "deterministic_differences": {
            kind: found for kind, answers in sets.items() for found in [_visible(answers, CONTENT | NATURAL | FIXED)]
        },
        "flagged": {
            f"{kind}: {label}": rate(sum(_flagged(s, measured.decisions) for s in seen), len(seen))
            for kind, answers in sets.items()
            for label, seen in sorted(answers.items())
        },
        "isolation": isolation(measured.loaded, measured.decisions) if measured.loaded else None,
        "prefix": measured.shared or None,
        "seed": seed,
    }


def defects(found: Mapping[str, Any]) -> list[str]:
    """What must not be: deterministic differences, answers that depend on neighbours, blocks that are shared.

    A refusal is visible by the operator's choice.
    """
    return [*_differences(found), *_coupled(found)]


def _coupled(found: Mapping[str, Any]) -> list[str]:
    """Signs that flagged and unflagged requests reached each other, in the batch or in the prefix cache."""
    told = []
    if alone := found.get("isolation"):
        mixed = alone["unflagged, flagged neighbours against none"]["texts"]
        repeated = alone["unflagged, no flagged neighbours, repeated"]["texts"]
        if mixed["ci95"][0] > repeated["ci95"][1]:
            told.append(f"batch: {mixed['hits']} of {mixed['n']} texts differ beside flagged requests")
    if shared := found.get("prefix"):
        kinds = ("flagged after unflagged", "unflagged after flagged")
        cached = {kind: shared["cached tokens"][kind]["max"] for kind in kinds}
        told += [f"prefix cache: {kind} found {tokens} tokens" for kind, tokens in cached.items() if tokens]
        depends = shared["pairs whose answer depends on who asked before"]
        told += [f"prefix cache: {n} {kind} answers depend on who asked before" for kind, n in depends.items() if n]
    return told


def _differences(found: Mapping[str, Any]) -> list[str]:
    return [
        f"{kind}, {name}: {one['what']} ({one['side']}, {one['count']} of {one['of']})"
        for kind, by_pair in found["deterministic_differences"].items()
        for name, each in by_pair.items()
        if not name.startswith("refusal")
        for one in each
    ]


def _sides(answers: Answers, pair: tuple[str, str]) -> tuple[Sequence[Seen], Sequence[Seen]]:
    return answers[pair[0]], answers[pair[1]]


def _times(answers: Answers, pairs: Mapping[str, tuple[str, str]], seed: int) -> dict[str, Any]:
    return {name: by_time(*_sides(answers, pair), seed, pair) for name, pair in pairs.items()}


def _visible(answers: Answers, pairs: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return {
        name: differences(*_sides(answers, pair), pair, () if _one_model(pair) else MODEL)
        for name, pair in pairs.items()
        if pair[0] in answers and pair[1] in answers
    }


def _one_model(pair: tuple[str, str]) -> bool:
    models = [server if server.startswith("gold") else "full" for server in (side.split("/")[0] for side in pair)]
    return models[0] == models[1]


def _flagged(seen: Seen, decisions: Mapping[str, str]) -> bool:
    return acted(decisions[seen.request])
