"""`lethe compile`: policy file + model -> bundle."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateway.policy import ForgetPolicy
    from guards.guard import Guard
    from guards.part import FittedPart
    from steering.engine.local.model import LocalModel
    from steering.methods.harmless import Harmless
    from steering.methods.surrogate import Question


def compile_policy(
    policy: Annotated[Path, typer.Argument(help="Policy file (YAML).", exists=True, dir_okay=False)],
    model: Annotated[str, typer.Option(help="Short name, local folder or hub id of the model that is served.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle; an older bundle there is replaced.")],
    dtype: Annotated[str, typer.Option(help="Data type the model is served in; auto: that of its weights.")] = "auto",
    method: Annotated[
        str | None, typer.Option(help="Method, with its default settings, instead of the one that the policy names.")
    ] = None,
    second: Annotated[
        str | None, typer.Option(help="`guard.second` of the settings: an encoder for a second look, minilm:FOLDER.")
    ] = None,
    recalibrate: Annotated[
        Path | None,
        typer.Option(
            help="Bundle of this policy for the same model in another dtype or quantisation: its guard and directions "
            "are kept, and only the dose is searched again.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    reveal: Annotated[bool, typer.Option(help="Quote the policy file where it is no YAML.")] = False,
) -> None:
    """Fit guard and method of a policy and write the bundle. Reads LETHE_BUNDLE_KEY."""
    from gateway.commands.engine import PATIENT_THREADS

    os.environ.update({k: v for k, v in PATIENT_THREADS.items() if k not in os.environ})  # before torch is loaded
    from pydantic import ValidationError
    from rich.console import Console
    from yaml import YAMLError

    from gateway.commands.recalibrate import recalibrate_bundle
    from gateway.mistake import mistakes
    from gateway.policy import load_policy
    from steering.bundle import BundleError, parse_key
    from steering.weights import WeightsError

    console = Console(stderr=True)
    if recalibrate is not None and second is not None:
        raise typer.BadParameter("the guard is kept as it is with --recalibrate", param_hint="--second")
    try:
        key = parse_key(os.environ.get("LETHE_BUNDLE_KEY", ""))
        loaded = with_method(load_policy(policy), method)
        if recalibrate is None:
            compile_bundle(loaded, policy.parent, model, out, dtype, key, console, second=second)
        else:
            recalibrate_bundle(loaded, policy.parent, model, recalibrate, out, dtype, key, console)
    except (ValidationError, YAMLError, BundleError, WeightsError, ValueError, OSError, ModuleNotFoundError) as error:
        for said in mistakes(error, reveal=reveal):
            console.print(f"{policy}: {said}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, ValidationError) else 1) from None


def compile_bundle(
    policy: ForgetPolicy,
    base: Path,
    model: str,
    out: Path,
    dtype: str,
    key: bytes,
    console: Any,
    fitted_guard: FittedPart | None = None,
    second: str | None = None,
) -> FittedPart:
    """Fit guard and method of a policy, write the bundle to `out`, and return the guard.

    Several methods for one policy need one guard only: give the returned one back as `fitted_guard`. `second` names a
    second encoder of the guard. Raises `ValueError`, `OSError`, `WeightsError`, `BundleError` or `ModuleNotFoundError`
    for what cannot be fitted, read or written.
    """
    from gateway.card import calibration, write_card
    from guards.encoder import load_encoder
    from guards.fit import fit as fit_guard
    from guards.guard import Guard
    from guards.indexing import build
    from guards.intake import ForgetRequest, contradictions, refuse
    from guards.normalize import Normalizer
    from guards.reach import decided_by_names
    from guards.whole import Whole
    from steering.bundle import Manifest, write_bundle
    from steering.methods import fitting
    from steering.methods.harmless import NONE
    from steering.methods.lessons import Material

    number = policy.number or str(secrets.randbelow(10**8)).zfill(8)
    if policy.number is None:
        console.print(f'The policy got number {number}: write `number: "{number}"` into the file to keep it.')
    whole = Whole(load_encoder(second), Normalizer()) if second is not None else None
    with bars(console) as bar:
        part = fitted_guard or fit_guard(policy.guard, base, key=key, progress=bar("guard"), whole=whole)
        data = part.to_bytes()
        served = load_served(model, dtype, bar("model"))
        guard = Guard.from_parts({number: data}, alpha=0.01)
        if fitted_guard is None:
            request = ForgetRequest.read(policy.guard, base)
            refuse([*contradictions(request, guard.shared.reader.normalizer), *decided_by_names(part, guard.shared)])
        index = build(policy.guard, base, key, guard.shared.reader, guard.shared.corpus)
        values = forgotten_values(policy, base)

        asked, progress = questions(policy, base, guard), bar(policy.method.name)
        apart = harmless(policy, base) if fitting.conditional(policy.method) else NONE
        training = out.with_name(f".{out.name}.training")
        names = tuple(name for entity in policy.guard.entities for name in (entity.name, *entity.aliases))
        material = Material(names, training, key)
        fitted = fitting.fit(served, asked, values, policy.method, tells, progress, apart, material)
    program = fitted.program
    manifest = Manifest(
        number=number,
        version=policy.version,
        method=policy.method.name,
        mask=policy.method.mask,
        model=program.model,
        sites=fitting.sites(program),
        calibration={"output": dict(index.figures)}
        | calibration(part.figures, fitted, fitting.describe(program, served)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    policy_text = policy.model_dump_json(by_alias=True).encode()
    sensitive = {"policy": policy_text, "guard": data, "output": index.to_bytes()}
    write_bundle(out, manifest, program.to_bytes(), sensitive, write_card(manifest), key)
    if fitted.curves:
        shutil.rmtree(training, ignore_errors=True)  # what an interrupted run would go on from
        _draw(fitted.curves, out.with_name(f"{out.name}.training.png"), console)
    shares = [f"{p.own:.1%}" for p in (fitted.check, fitted.check_bare, fitted.check_surrogate)]
    console.print(
        f"Wrote {out}. The value asked for in held-out answers: {shares[0]} (without Lethe {shares[1]}, invented names "
        f"{shares[2]}). Details: {out / 'CARD.md'}",
        soft_wrap=True,
    )
    return part


@contextmanager
def bars(console: Any) -> Iterator[Callable[[str], Callable[[str, float], None]]]:
    """Progress bars on a console: title -> what is told (what is being done, share of it that is done)."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn()
    with Progress(*columns, console=console) as shown:

        def bar(title: str) -> Callable[[str, float], None]:
            task = shown.add_task(title, total=1.0)
            return lambda what, share: shown.update(task, completed=share, description=f"{title}: {what}")

        yield bar


def with_method(policy: ForgetPolicy, name: str | None) -> ForgetPolicy:
    """The policy with a method's default settings; its own where it names that method. Raises `ValidationError`."""
    from gateway.policy import ForgetPolicy

    if name is None or name == policy.method.name:
        return policy
    return ForgetPolicy.model_validate({**policy.model_dump(by_alias=True), "method": {"name": name}})


def harmless(policy: ForgetPolicy, base: Path) -> Harmless:
    """Texts that a conditional edit must stay away from: the policy's neighbours, and what every installation has."""
    from guards.benign import benign
    from guards.examples import neighbours
    from steering.methods.harmless import Harmless

    found = [item for item in benign("fit") if not item.named]
    return Harmless(
        near=neighbours(policy.guard, base),
        asked=[item.text for item in found if not item.document],
        told=[item.text for item in found if item.document],
    )


def _draw(curves: Mapping[str, Sequence[tuple[float, float, float]]], path: Path, console: Any) -> None:
    """The loss curves of assistants as a picture, where matplotlib is installed; the card has the figures."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        return
    from steering.methods.curve import draw

    draw(curves, path)
    console.print(f"Loss curves: {path}", soft_wrap=True)


def load_served(model: str, dtype: str, progress: Callable[[str, float], None]) -> LocalModel:
    """The model as it is served."""
    from steering.engine.local.model import LocalModel

    progress("reading weights", 0.0)
    served = LocalModel.load(model, served_dtype(model, dtype))
    progress("ready", 1.0)
    return served


def served_dtype(model: str, dtype: str) -> str:
    """The data type that is meant; `auto` is that of the weights."""
    from steering.weights import resolve

    place = resolve(model)
    if dtype != "auto" or not isinstance(place, Path):
        return "float32" if dtype == "auto" else dtype
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")


def tells(question: str, answer: str, values: Sequence[str]) -> bool:
    """Whether an answer shows one of the values."""
    from guards.values import found_values

    return bool(found_values(answer, values, question))


def example_rows(policy: ForgetPolicy, base: Path) -> list[dict[str, str]]:
    """Examples of the policy, inline and from its file."""
    rows = [e.model_dump() for e in policy.guard.examples]
    if policy.guard.examples_file is not None:
        text = (base / policy.guard.examples_file).read_text(encoding="utf-8")
        rows += [json.loads(line) for line in text.splitlines() if line.strip()]
    return rows


def forgotten_values(policy: ForgetPolicy, base: Path) -> tuple[str, ...]:
    """All values whose appearance in an answer is a leak, sorted."""
    listed = {row.get("value", "") for row in example_rows(policy, base)} | set(policy.guard.values)
    return tuple(sorted(v for v in listed if v))


def questions(policy: ForgetPolicy, base: Path, guard: Guard) -> Sequence[Question]:
    """Example questions with the spans of the names that the guard finds in them."""
    from guards.verdict import TextPart
    from steering.methods.surrogate import Question

    out = []
    for row in example_rows(policy, base):
        (verdict,) = guard.scan([TextPart("/messages/0/content", "user", row["question"])])
        spans = tuple((s.start, s.end) for s in verdict.entities)
        out.append(Question(row["question"], spans, tuple(v for v in [row.get("value", "")] if v)))
    return out
