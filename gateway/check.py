"""Explains every mistake in the settings and the bundles at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from gateway.settings import DEFAULT_FILE, Settings, read_file, with_plain_key
from gateway.store import LoadedPolicy, load_policy_bundle
from steering.bundle import BundleError, parse_key, read_bundle, read_manifest

OTHER_VARIABLES = frozenset({"LETHE_ENGINE_KEY", "LETHE_HOME", "LETHE_ALLOW_UNTESTED"})
"""Variables that are read elsewhere than in the tree of settings."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to be changed before the gateway can serve, or (`fatal` False) to be aware of."""

    where: str
    text: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def check(path: Path | None = None) -> tuple[Settings | None, list[Mistake]]:
    """Read the settings as `lethe serve` does and say everything that is wrong with them and with the bundles."""
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    try:
        data = with_plain_key(read_file(path) if path else {})
    except FileNotFoundError:
        return None, [Mistake(str(path), "no such file")]
    except yaml.YAMLError as error:
        return None, [Mistake(str(path), f"not valid YAML: {' '.join(str(error).split())}")]
    except (OSError, ValueError) as error:
        return None, [Mistake(str(path), str(error))]
    mistakes = list(_variables(os.environ))
    try:
        settings = Settings(**data)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        return None, [*(mistake for e in errors for mistake in _explain(e)), *mistakes]
    return settings, [*mistakes, *_placeholders(settings), *_bundles(settings)]


def _explain(error: Any) -> Iterator[Mistake]:
    """One error of pydantic as `path: what is wrong`, with the nearest known key for a mistyped one."""
    location = [str(step) for step in error["loc"]]
    where = ".".join(location) or "settings"
    if error["type"] == "extra_forbidden":
        *parents, name = location
        known = list(_fields_at(parents))
        near = difflib.get_close_matches(name, known, 1, 0.5)
        prefix = ".".join([*parents, ""])
        hint = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        yield Mistake(where, f"unknown key, {hint}")
        return
    text = error["msg"].removeprefix("Value error, ")
    if location:
        yield Mistake(where, text)
        return
    for line in text.splitlines():  # mistakes between fields name their own place
        place, _, problem = line.partition(": ")
        yield Mistake(place, problem)


def _fields_at(path: list[str]) -> Iterator[str]:
    """Names of the fields of the model that is at a path of the tree."""
    model: type[BaseModel] | None = Settings
    for step in path:
        field = model.model_fields.get(step) if model is not None else None
        if field is not None:
            model = next(_models_in(field.annotation), None)
    yield from model.model_fields if model is not None else ()


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _variables(environment: Mapping[str, str]) -> Iterator[Mistake]:
    """Variables that look like settings but set nothing."""
    known = {f"LETHE_{name.upper()}" for name in Settings.model_fields}
    for name in environment:
        if not name.startswith("LETHE_") or name in OTHER_VARIABLES or name.partition("__")[0] in known:
            continue
        near = difflib.get_close_matches(name, known | OTHER_VARIABLES, 1)
        hint = f"did you mean {near[0]}?" if near else "it sets nothing"
        yield Mistake(name, f"unknown variable, {hint}", fatal=False)


def _placeholders(settings: Settings) -> Iterator[Mistake]:
    for i, key in enumerate(settings.keys):
        if not key.sha256.strip("0"):
            text = "this is the placeholder of the example, with which nobody gets in; `lethe keygen --tenant NAME`"
            yield Mistake(f"keys.{i}.sha256", f"{text} prints an entry", fatal=False)


def _bundles(settings: Settings) -> Iterator[Mistake]:
    """Every bundle alone, then all together."""
    if not settings.bundles or settings.bundle_key is None:
        return
    key = parse_key(settings.bundle_key.get_secret_value())
    loaded: dict[int, LoadedPolicy] = {}
    for i, folder in enumerate(settings.bundles):
        where = f"bundles.{i}"
        try:
            read_manifest(folder)
            policy = load_policy_bundle(read_bundle(folder, key), folder)
        except (BundleError, OSError) as error:
            yield Mistake(where, str(error))
            continue
        expires = policy.active.rules.expires
        if expires is not None and expires <= datetime.now(UTC).date():
            yield Mistake(where, f"policy {policy.number} expired on {expires}; it is not in force", fatal=False)
        for j, other in loaded.items():
            if other.number == policy.number:
                yield Mistake(where, f"holds the same policy as bundles.{j}; list one of them")
            elif (difference := policy.manifest.model.mismatch(other.manifest.model)) is not None:
                yield Mistake(where, f"was compiled for another model than bundles.{j} ({difference})")
                break
        loaded[i] = policy
    if settings.upstream.engine_key is None and any(policy.intervenes for policy in loaded.values()):
        yield Mistake("upstream.engine_key", "policies that intervene need it; set LETHE_ENGINE_KEY on both sides")
