"""CARD.md of a bundle: measured figures for people. It names neither the policy nor anything in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from steering.bundle import Manifest


def write_card(manifest: Manifest) -> str:
    """Markdown from the manifest's calibration figures."""
    guard, method = manifest.calibration["guard"], manifest.calibration["method"]
    rows = "".join(
        f"| {_place(p)}{p['strength']:.3g} | {p['own']:.1%} | {p['leak']:.1%} | {p['similarity']:.3f} "
        f"| {p.get('topic', 0.0):.3f} | {p.get('repetition', 0.0):.3f} | {_surprise(p)} "
        f"| {p['distance']:.3f} |\n"
        for p in sorted(method["search"], key=lambda p: (p.get("layer") or 0, p["strength"]))
    )
    chosen, check = method["chosen"], method["check"]
    bare, invented, surrogate = method["check_bare"], method["check_surrogate"], method["surrogate"]
    if "layers" in chosen:
        how = f"After layer {', '.join(map(str, chosen['layers']))}, counted from 0, {chosen['columns']} column(s)"
        searched = "layer: rank" if chosen["kind"] == "projection" else "layer: strength"
    elif "assistants" in chosen:
        how = (
            f"{chosen['assistants']} assistant(s) of {chosen['assistant_layers']} layers, "
            f"{chosen['bytes'] / 1e6:.1f} MB; tokens with {chosen['plausible']:g} of the best one's probability can be "
            f"chosen, and the {chosen['kept']} best"
        )
        searched = "rank" if chosen["unit"] == "masked tokens" else "alpha"
    else:
        how, searched = f"Seed {chosen['seed']}, {chosen['dims']} dimension(s)", "strength"
    names = (
        "value asked for in answer", "any forgotten value", "overlap with own answer", "with the question",
        "repeated runs of words", "surprise, nats per token", "distance to surrogate",
    )  # fmt: skip
    head = f"| {searched} | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}\n"
    never = (
        f"| surrogate | {surrogate['own']:.1%} | {surrogate['leak']:.1%} | {surrogate['similarity']:.3f} "
        f"| {surrogate.get('topic', 0.0):.3f} | {surrogate.get('repetition', 0.0):.3f} "
        f"| {_surprise(surrogate)} | |"
    )
    return f"""# Policy {manifest.number}, version {manifest.version}

Compiled {manifest.created} for model `{manifest.model.id}` ({manifest.model.dtype}, hidden size
{manifest.model.hidden_size}, weights SHA-256 `{manifest.model.weights_sha256[:16]}...`). Anyone who holds the bundle
key and this folder can recover what the policy is about.

## Guard
Measured while fitting, on texts that the classifier was not fitted on.

```json
{json.dumps(guard, indent=1)}
```

## Method: {manifest.method}, kind {chosen["kind"]}, mask {manifest.mask}
Strength {chosen["strength"]:.4g} ({chosen["unit"]}). {how}. Searched on {method["searched"]} questions; target: the
same model's answers to the same questions about invented names. Overlaps are those of words.

{head}{rows}{never}
{_opening(method.get("condition") or {})}{_sampled(method)}{_recalibrated(manifest)}
On {method["checked"]} questions with a name in them that the search never saw: the value asked for in
{check["own"]:.1%} of the answers (without the method {bare["own"]:.1%}, invented names {invented["own"]:.1%}), any
forgotten value in {check["leak"]:.1%} ({bare["leak"]:.1%}, {invented["leak"]:.1%}), overlap with the model's own
answers {check["similarity"]:.3f} (invented names {invented["similarity"]:.3f}). Questions are split at random, so the
figures speak of other wordings of the same facts. Questions that only describe the subject are not in them.
"""


_CONDITION = {
    "layer": "condition read after layer",
    "threshold": "cosine that opens it",
    "f1": "F1 in the search, both kinds of tokens weighing the same",
    "dead_zone": "end of the dead zone",
    "known": "mean gate at names that it was fitted on",
    "harmless_open": "share of harmless tokens for which it opens",
    "harmless_gate": "mean gate at harmless tokens",
    "neighbours_open": "share of the neighbours' tokens for which it opens",
    "neighbours_gate": "mean gate at the neighbours' tokens",
}
"""Figures of a conditional edit in words."""


def _opening(condition: Mapping[str, float]) -> str:
    if not condition:
        return ""
    rows = "".join(f"| {_CONDITION[name]} | {value:.4g} |\n" for name, value in condition.items())
    said = "What opens the edit, token by token. Nothing was fitted on the harmless texts that are counted here."
    return f"\n{said}\n\n| figure | value |\n|---|---|\n{rows}"


def _sampled(method: Mapping[str, Any]) -> str:
    """What a logit difference leaks in several answers, and how its assistants were trained."""
    if not method.get("curves"):
        return ""
    rows = "".join(
        f"| {p['strength']:.3g} | {p['kept']:.0f} | {p['own']:.1%} | {p['sampled']:.1%} |\n" for p in method["search"]
    )
    for name in ("surrogate", "check", "check_bare", "check_surrogate"):
        point = method[name]
        rows += f"| {name.replace('_', ', ')} | | {point['own']:.1%} | {point['sampled']:.1%} |\n"
    passes = "".join(
        f"| {role} | {len(curve)} | {curve[-1][0]:.3f} | {min(row[1] for row in curve):.3f} "
        f"| {min(row[2] for row in curve):.3f} |\n"
        for role, curve in method["curves"].items()
    )
    return f"""
The value asked for, in the one greedy answer and in any of 16 at temperature 1, by strength and number of kept tokens:

| strength | kept | greedy | any of 16 |
|---|---|---|---|
{rows}
Training of the assistants on the model's own answers, to the questions that are measured here among others, but in
another wording; losses in nats per token, held-out ones are the least of all passes, in the wording that is measured:

| assistant | passes | last training loss | held-out forgotten | held-out others |
|---|---|---|---|---|
{passes}"""


def _recalibrated(manifest: Manifest) -> str:
    """What another precision of the model did to the program, and what searching its dose again made of it."""
    figures = manifest.calibration.get("recalibrated")
    if not figures:
        return ""
    old, method = figures["from"], manifest.calibration["method"]
    before, after = figures["before"], method["check"]
    strengths = figures["strength"], figures["dose"], method["chosen"]["strength"]
    rows = "".join(
        f"| {name} | {before[key]:{form}} | {after[key]:{form}} |\n"
        for name, key, form in (
            ("value asked for in answer", "own", ".1%"),
            ("any forgotten value", "leak", ".1%"),
            ("overlap with own answer", "similarity", ".3f"),
            ("with the question", "topic", ".3f"),
            ("repeated runs of words", "repetition", ".3f"),
        )
    )
    return f"""
## Recalibrated
For {_precision(manifest.model.model_dump())}, from a bundle of version {figures["version"]} for {_precision(old)}.
Guard, output index and directions are those of that bundle; dose and gates were searched again. Strength
{strengths[0]:.4g} there is {strengths[1]:.4g} here before, {strengths[2]:.4g} after. On the held-out questions:

| | with the old numbers | recalibrated |
|---|---|---|
{rows}"""


def _precision(model: Mapping[str, Any]) -> str:
    return f"{model['dtype']}, {model['quantization'] or 'not quantised'}, weights `{model['weights_sha256'][:16]}...`"


def _place(point: Mapping[str, Any]) -> str:
    return "" if point.get("layer") is None else f"{point['layer']}: "


def _surprise(point: Mapping[str, Any]) -> str:
    """Only searches that need it measure it."""
    return f"{point['surprise']:.2f}" if point.get("surprise") else "-"


def point(p: Any) -> dict[str, float]:
    """Figures of a `steering.methods.trial.Point` for the manifest."""
    figures = {field.name: getattr(p, field.name) for field in fields(p)}
    return {name: round(value, 6) for name, value in figures.items() if value is not None}


def calibration(guard: Mapping[str, Any], fitted: Any, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of both parts for the manifest. `fitted`: result of the method's fit; `chosen`: what its program is."""
    return {
        "guard": dict(guard),
        "method": {
            "chosen": dict(chosen),
            "search": [point(p) for p in fitted.points],
            "surrogate": point(fitted.surrogate),
            "check": point(fitted.check),
            "check_bare": point(fitted.check_bare),
            "check_surrogate": point(fitted.check_surrogate),
            "curves": {role: [[round(x, 4) for x in row] for row in c] for role, c in fitted.curves.items()},
            "condition": {name: round(value, 6) for name, value in fitted.condition.items()},
            "searched": fitted.searched,
            "checked": fitted.checked,
        },
    }
