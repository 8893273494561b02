"""CARD.md of a bundle: measured figures for people. It names neither the policy nor anything in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from steering.bundle import Manifest


def write_card(manifest: Manifest) -> str:
    """Markdown from the manifest's calibration figures."""
    guard, method = manifest.calibration["guard"], manifest.calibration["method"]
    rows = "".join(
        f"| {p['strength']:.3g} | {p['own']:.1%} | {p['leak']:.1%} | {p['similarity']:.3f} | {p['distance']:.3f} |\n"
        for p in sorted(method["search"], key=lambda p: p["strength"])
    )
    chosen, check = method["chosen"], method["check"]
    bare, invented, surrogate = method["check_bare"], method["check_surrogate"], method["surrogate"]
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
Strength {chosen["strength"]:.4g} ({chosen["unit"]}), seed {chosen["seed"]}, {chosen["dims"]} dimension(s). Searched on
{method["searched"]} questions; target: the same model's answers to the same questions about invented names.

| strength | value asked for in answer | any forgotten value | overlap with own answer | distance to surrogate |
|---|---|---|---|---|
{rows}| surrogate | {surrogate["own"]:.1%} | {surrogate["leak"]:.1%} | {surrogate["similarity"]:.3f} | |

On {method["checked"]} questions with a name in them that the search never saw: the value asked for in
{check["own"]:.1%} of the answers (without corruption {bare["own"]:.1%}, invented names {invented["own"]:.1%}), any
forgotten value in {check["leak"]:.1%} ({bare["leak"]:.1%}, {invented["leak"]:.1%}), overlap with the model's own
answers {check["similarity"]:.3f} (invented names {invented["similarity"]:.3f}). Questions are split at random, so the
figures speak of other wordings of the same facts. Questions that only describe the subject are not in them.
"""


def calibration(guard: Mapping[str, Any], fitted: Any, *, unit: str, strength: float) -> dict[str, Any]:
    """Figures of both parts for the manifest. `fitted`: result of the method's fit."""

    def point(p: Any) -> dict[str, float]:
        return {n: round(getattr(p, n), 6) for n in ("strength", "distance", "leak", "own", "similarity")}

    eco = fitted.program.eco
    return {
        "guard": dict(guard),
        "method": {
            "chosen": {"kind": eco.kind, "strength": strength, "unit": unit, "seed": eco.seed, "dims": eco.dims},
            "search": [point(p) for p in fitted.points],
            "surrogate": point(fitted.surrogate),
            "check": point(fitted.check),
            "check_bare": point(fitted.check_bare),
            "check_surrogate": point(fitted.check_surrogate),
            "searched": fitted.searched,
            "checked": fitted.checked,
        },
    }
