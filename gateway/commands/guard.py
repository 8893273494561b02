"""`lethe guard`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guards.explain import Explanation, Reason
    from guards.part import FittedPart
    from guards.reading import Reader

app = typer.Typer(help="The guards of bundles; needs LETHE_BUNDLE_KEY.", no_args_is_help=True)


@app.callback()
def guard() -> None:
    """The guards of bundles."""


@app.command("try")
def try_text(
    text: Annotated[str, typer.Argument(help="What to ask the guards about; - reads standard input.")],
    bundle: Annotated[list[Path], typer.Option(help="Folder of a bundle; may be given several times.")],
    alpha: Annotated[float, typer.Option(help="`guard.alpha` of the settings.")] = 0.001,
    samples: Annotated[
        Path | None, typer.Option(help="`guard.samples` of the settings: harmless requests of your own.", exists=True)
    ] = None,
    second: Annotated[
        str | None, typer.Option(help="`guard.second` of the settings: an encoder for a second look, minilm:FOLDER.")
    ] = None,
    role: Annotated[str, typer.Option(help="Role of the text, e.g. user, system, tool.")] = "user",
    reveal: Annotated[bool, typer.Option(help="Show names and, with --policy, the nearest example.")] = False,
    policy: Annotated[
        Path | None, typer.Option(help="Policy file that one of the bundles was compiled from.", exists=True)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain what the guards of all these bundles together decide about a text, and why."""
    from gateway.store import load_policies
    from guards.encoder import load_encoder
    from guards.explain import explain
    from guards.guard import Guard, Shared
    from guards.part import FittedPart, PartError
    from guards.samples import read_samples
    from steering.bundle import BundleError

    console = Console(stderr=True)
    if policy is not None and not reveal:
        raise typer.BadParameter("the examples of a policy are shown with --reveal only", param_hint="--policy")
    asked = sys.stdin.read() if text == "-" else text
    try:
        loaded = load_policies(bundle, os.environ.get("LETHE_BUNDLE_KEY", ""))
        parts = {one.number: FittedPart.from_bytes(one.guard) for one in loaded}
        own = read_samples(samples) if samples is not None else ()
        shared = Shared.load(second=load_encoder(second) if second is not None else None)
        told = explain(Guard(parts, alpha=alpha, shared=shared, samples=own), parts, asked, role)
        example = _nearest(policy, told, asked, shared.reader) if policy is not None else None
    except (BundleError, PartError, ValueError, OSError, ModuleNotFoundError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(_report(told, parts, alpha, example, reveal=reveal), indent=1, ensure_ascii=False))
        return
    _print(told, parts, asked, alpha, reveal=reveal)
    if example is not None:
        typer.echo(f"nearest example, cosine {example['cosine']:.2f}, number {example['place']}: {example['text']}")


def _nearest(file: Path, told: Explanation, text: str, reader: Reader) -> dict[str, Any]:
    """The example of a policy file that is nearest to the worst window. Raises `ValueError` for another policy."""
    from pydantic import ValidationError
    from yaml import YAMLError

    from gateway.policy import load_policy
    from guards.explain import nearest
    from guards.intake import ForgetRequest

    try:
        policy = load_policy(file)
    except (ValidationError, YAMLError) as error:
        raise ValueError(f"{file} is not a policy file; `lethe policies lint {file}` says why") from error
    reasons = [reason for reason in told.reasons if policy.number in (reason.policy, None)]
    if len(reasons) != 1:
        raise ValueError(
            f"{file}: its number is {policy.number or 'not written into it'}, the bundles' are "
            f"{', '.join(reason.policy for reason in told.reasons)}; give the file that one of them was compiled from"
        )
    worst = reasons[0].worst
    examples = ForgetRequest.read(policy.guard, file.parent).texts
    place, cosine = nearest(text[worst[0] : worst[1]] if worst else text, examples, reader)
    return {"policy": reasons[0].policy, "place": place, "cosine": round(cosine, 4), "text": examples[place]}


def _report(
    told: Explanation,
    parts: Mapping[str, FittedPart],
    alpha: float,
    example: dict[str, Any] | None,
    *,
    reveal: bool,
) -> dict[str, Any]:
    policies = [asdict(reason) for reason in told.reasons]
    if reveal:
        for policy in policies:
            spelled = _spelled(parts[policy["policy"]])
            policy["names"] = [{**name, "text": spelled[name["number"]]} for name in policy["names"]]
    nearest = {} if example is None else {"nearest": example}
    return {"alpha": alpha, "policies": policies, "ms": dict(told.ms), **nearest}


def _print(told: Explanation, parts: Mapping[str, FittedPart], text: str, alpha: float, *, reveal: bool) -> None:
    table = Table("policy", "verdict", "tier", "score", "threshold", "p-value", "why", title=f"alpha {alpha:g}")
    for reason in told.reasons:
        verdict = "flagged" if reason.flagged else "passes"
        score = "-" if reason.score is None else f"{reason.score:.2f}"
        row = (reason.policy, verdict, reason.tier, score, f"{reason.threshold:.2f}", f"{reason.p_value:.2g}")
        table.add_row(*row, "\n".join(_why(reason, parts[reason.policy], text, reveal=reveal)))
    Console().print(table)
    spent = ", ".join(f"{tier} {ms:.2f} ms" for tier, ms in told.ms.items())
    typer.echo(f"{spent} (scan is the whole of a request, the description searched; the tiers are timed by themselves)")


def _why(reason: Reason, part: FittedPart, text: str, *, reveal: bool) -> list[str]:
    """Lines about the names and the worst window; the names themselves only where they are to be revealed."""
    from rich.markup import escape

    spelled = _spelled(part)
    lines = []
    for name in reason.names:
        known = f" ({spelled[name.number]})" if reveal else ""
        lines.append(f"{name.kind} {name.number}{known} at {name.start}-{name.end}")
    if reason.worst is not None:
        start, end, score = reason.worst
        lines.append(f"worst window {start}-{end}, {score:.2f} without names: {text[start:end]}")
    if reason.described:
        lines.append("described by: " + " | ".join(text[start:end] for start, end in reason.described))
    if reason.truncated:
        lines.append("the text was not read in full")
    return [escape(line) for line in lines]


def _spelled(part: FittedPart) -> dict[int, str]:
    return {name.number: name.text for name in part.names}
