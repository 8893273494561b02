"""`lethe compile --recalibrate`: bundle for a model -> bundle for the same model in another dtype or quantisation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.policy import ForgetPolicy
    from steering.bundle import Bundle


def recalibrate_bundle(
    policy: ForgetPolicy, base: Path, model: str, old: Path, out: Path, dtype: str, key: bytes, console: Any
) -> None:
    """Search the dose of a bundle's program again and write the result to `out`; guard and output index are kept.

    Raises ValueError for a bundle of another policy, or of a model that differs in more than precision, and what
    `compile_bundle` raises.
    """
    from gateway.card import calibration, point, write_card
    from gateway.commands.compile import bars, forgotten_values, harmless, load_served, questions, tells
    from guards.guard import Guard
    from steering.bundle import Manifest, read_bundle, write_bundle
    from steering.methods import fitting
    from steering.methods.harmless import NONE
    from steering.methods.recalibrate import recalibrate, require_another_precision
    from steering.program import load_program

    bundle = read_bundle(old, key)
    number, before = bundle.manifest.number, bundle.manifest.calibration
    _same_policy(policy, bundle, old)
    with bars(console) as bar:
        served = load_served(model, dtype, bar("model"))
        require_another_precision(bundle.manifest.model, served.fingerprint)
        asked = questions(policy, base, Guard.from_parts({number: bundle.sensitive["guard"]}, alpha=0.01))
        apart = harmless(policy, base) if fitting.conditional(policy.method) else NONE
        found = recalibrate(
            served, load_program(bundle.program), asked, forgotten_values(policy, base), policy.method, tells,
            bar(policy.method.name), apart,
        )  # fmt: skip
    program = found.fitted.program
    figures = calibration(before["guard"], found.fitted, fitting.describe(program, served))
    # what the assistants of a logit difference learned is not learned again
    figures["method"]["curves"] = before["method"].get("curves", {})
    manifest = Manifest(
        number=number,
        version=policy.version,
        method=policy.method.name,
        mask=policy.method.mask,
        model=program.model,
        sites=fitting.sites(program),
        calibration={name: before[name] for name in before if name != "recalibrated"}
        | figures
        | {
            "recalibrated": {
                "from": bundle.manifest.model.model_dump(),
                "version": bundle.manifest.version,
                "strength": before["method"]["chosen"]["strength"],
                "dose": round(found.dose, 6),
                "before": point(found.before),
            }
        },
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    sensitive = {**bundle.sensitive, "policy": policy.model_dump_json(by_alias=True).encode()}
    write_bundle(out, manifest, program.to_bytes(), sensitive, write_card(manifest), key)
    console.print(
        f"Wrote {out}. The value asked for in held-out answers: {found.fitted.check.own:.1%} (with the old numbers "
        f"{found.before.own:.1%}). Details: {out / 'CARD.md'}",
        soft_wrap=True,
    )


def _same_policy(policy: ForgetPolicy, bundle: Bundle, where: Path) -> None:
    from gateway.policy import ForgetPolicy

    stored = ForgetPolicy.model_validate_json(bundle.sensitive["policy"])
    if policy.number not in (None, bundle.manifest.number):
        raise ValueError(f"{where} is the bundle of policy {bundle.manifest.number}, not of {policy.number}")
    for part in ("guard", "method"):
        if getattr(stored, part) != getattr(policy, part):
            raise ValueError(f"the {part} of this policy is not the one that {where} was compiled from: compile it")
