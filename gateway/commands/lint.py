"""`lethe policies lint`: whether a forget request may go live."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from guards.benign import Benign
    from guards.intake import Objection
    from guards.overlap import Other
    from guards.part import FittedPart

NEW = "000000"
"""Number of a policy that has none yet."""


def lint(
    policy: Annotated[Path, typer.Argument(help="Policy file (YAML).", exists=True, dir_okay=False)],
    beside: Annotated[
        list[Path] | None, typer.Option(help="Bundle or policy file that is or will be active as well; repeatable.")
    ] = None,
    traffic: Annotated[
        Path | None, typer.Option(help="JSON lines of {text}: harmless requests of your own.", exists=True)
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(help="`guard.samples` of the settings, which the guard is set by.", exists=True)
    ] = None,
    alpha: Annotated[float, typer.Option(help="`guard.alpha` of the settings.")] = 0.001,
    reveal: Annotated[bool, typer.Option(help="Show the names and texts behind the objections.")] = False,
    strict: Annotated[bool, typer.Option(help="Refuse what there are warnings about.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is wrong with a forget request before it goes live; exit 1 if it must not.

    Fits a guard and throws it away. With LETHE_BUNDLE_KEY it is the one that `lethe compile` makes; bundles need it.
    """
    from pydantic import ValidationError
    from yaml import YAMLError

    from gateway.mistake import mistakes
    from guards.intake import IntakeError

    console = Console(stderr=True)
    try:
        objections = _lint(policy, beside or (), traffic, samples, alpha, console)
    except (ValidationError, YAMLError, IntakeError, ValueError, OSError) as error:
        for said in mistakes(error, reveal=reveal):
            console.print(f"{policy}: {said}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, ValidationError) else 1) from None
    if as_json:
        told = [{k: v for k, v in asdict(f).items() if reveal or k != "shown"} for f in objections]
        typer.echo(json.dumps({"objections": told}, indent=1, ensure_ascii=False))
    else:
        _tell(objections, policy, reveal=reveal)
    if any(strict or objection.level == "refuse" for objection in objections):
        raise typer.Exit(1)


def _tell(objections: Sequence[Objection], policy: Path, *, reveal: bool) -> None:
    console = Console()
    for objection in objections:
        style = "red" if objection.level == "refuse" else "yellow"
        console.print(
            f"{objection.level}: {objection.rule}: {objection.text}", style=style, markup=False, soft_wrap=True
        )
        for shown in objection.shown if reveal else ():
            console.print(f"    {shown}", markup=False, soft_wrap=True)
    if not objections:
        console.print(f"{policy}: nothing to object to", style="green", markup=False, soft_wrap=True)
    elif not reveal and any(objection.shown for objection in objections):
        console.print("--reveal shows the names and texts", markup=False)


def _lint(
    file: Path, beside: Sequence[Path], traffic: Path | None, samples: Path | None, alpha: float, console: Console
) -> list[Objection]:
    """All objections about a policy file, refusals first. Raises `ValueError`, `OSError`, `YAMLError`."""
    from rich.progress import BarColumn, Progress, TextColumn

    from gateway.policy import load_policy
    from guards.fit import fit
    from guards.guard import Guard, Shared
    from guards.intake import (
        ForgetRequest,
        IntakeError,
        Objection,
        contradictions,
        few,
        kept_names,
        near_contradictions,
    )
    from guards.overlap import covered, overlaps
    from guards.part import PartError
    from guards.reach import Reach, decided_by_names, indistinct
    from guards.samples import read_samples
    from guards.seeding import seeded, unusual

    policy = load_policy(file)
    key = _key(needed=any(path.is_dir() for path in beside))
    request, number = ForgetRequest.read(policy.guard, file.parent), policy.number or NEW
    others, parts = _others(beside, key, number)
    own = _traffic(traffic) if traffic is not None else ()
    requests = read_samples(samples) if samples is not None else ()
    with Progress(TextColumn("{task.description}"), BarColumn(), console=console, transient=True) as bars:

        def bar(title: str) -> Callable[[str, float], None]:
            task = bars.add_task(title, total=1.0)
            return lambda what, share: bars.update(task, completed=share, description=f"{title}: {what}")

        reading = bar("harmless texts")
        reading("reading", 0.0)
        shared = Shared.load()
        reading("read", 1.0)
        reader, harmless = shared.reader, shared.corpus.texts
        found = [*few(request), *contradictions(request, reader.normalizer), *near_contradictions(request, reader)]
        found += [*kept_names(request, reader.normalizer), *overlaps(request, others, reader)]
        words = unusual(request, harmless, reader.normalizer)
        share = alpha / (1 + len(parts))
        try:
            part = fit(policy.guard, file.parent, key=key, progress=bar("guard"))
            found += decided_by_names(part, shared)
            guard = Guard({**parts, number: part}, alpha=alpha, shared=shared, samples=requests)
        except (IntakeError, PartError) as error:  # a guard that must not exist has no reach to be measured
            found.append(Objection("refuse", "names", str(error)))
        else:
            reach = Reach.of(guard, number, harmless, bar("reach"))
            found += [*reach.broad(share), *covered(request, guard, number)]
            found += seeded(words, reach.texts, reach.flagged, share, reader.normalizer)
            if own:
                found += Reach.of(guard, number, own, bar("own traffic")).broad(share, "texts of your own traffic")
            half = bar("half of the examples")
            found += indistinct(policy.guard, file.parent, parts, key=key, alpha=alpha, shared=shared, progress=half)
    return sorted(found, key=lambda objection: objection.level)


def _key(*, needed: bool) -> bytes:
    """The key of the bundles; where none is set or needed a fixed one, which only draws folds and variants."""
    from steering.bundle import KEY_BYTES, parse_key

    text = os.environ.get("LETHE_BUNDLE_KEY", "")
    return parse_key(text) if text or needed else bytes(KEY_BYTES)


def _others(beside: Sequence[Path], key: bytes, number: str) -> tuple[list[Other], Mapping[str, FittedPart]]:
    """Other policies, and the guards of those that are bundles. An older bundle of the policy itself is left out."""
    from gateway.policy import ForgetPolicy, load_policy
    from guards.intake import ForgetRequest
    from guards.overlap import Other
    from guards.part import FittedPart
    from steering.bundle import read_bundle

    others, parts = [], {}
    for path in beside:
        if path.is_dir():
            bundle = read_bundle(path, key)
            spec = ForgetPolicy.model_validate_json(bundle.sensitive["policy"]).guard
            texts = (*(e.question for e in spec.examples), *spec.passages)
            label, request = bundle.manifest.number, ForgetRequest(spec, texts, spec.retain)
            if label != number:
                parts[label] = FittedPart.from_bytes(bundle.sensitive["guard"])
        else:
            policy = load_policy(path)
            label, request = policy.number or path.name, ForgetRequest.read(policy.guard, path.parent)
        if label != number:
            others.append(Other(label, request))
    return others, parts


def _traffic(file: Path) -> tuple[Benign, ...]:
    """Harmless requests of the operator. Raises `ValueError`."""
    from guards.benign import Benign

    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                found.append(Benign(str(json.loads(line)["text"]), named=False))
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ValueError(f"{file.name} line {number}: expected a JSON object with a text") from error
    return tuple(found)
