"""`lethe policies`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from gateway.commands.lint import lint
from gateway.commands.serve import Config

if TYPE_CHECKING:
    from steering.bundle import Manifest

app = typer.Typer(help="The policies of this gateway; `lethe policies` alone lists them.")
app.command()(lint)


@app.callback(invoke_without_command=True)
def policies(context: typer.Context, config: Config = None) -> None:
    """List the bundles of the settings with what was measured when they were compiled."""
    if context.invoked_subcommand is None:
        _list(config)


def _list(config: Path | None) -> None:
    from gateway.check import check
    from gateway.store import load_policy_bundle
    from steering.bundle import BundleError, parse_key, read_bundle, read_manifest

    console = Console()
    settings, mistakes = check(config)
    if settings is None:
        for mistake in mistakes:
            console.print(str(mistake), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2)
    table = Table("number", "version", "model", "method", "mode", "response", "expires", "measured")
    failed, found = False, []
    for folder in settings.bundles:
        try:
            manifest = read_manifest(folder)
            mode = response = expires = "?"
            if settings.bundle_key is not None:
                bundle = read_bundle(folder, parse_key(settings.bundle_key.get_secret_value()))
                rules = load_policy_bundle(bundle, folder).active.rules
                mode, response, expires = rules.mode, rules.response, str(rules.expires or "never")
        except BundleError as error:
            console.print(str(error), style="red", markup=False, soft_wrap=True)
            failed = True
            continue
        model = f"{manifest.model.id} {manifest.model.dtype}"
        row = (manifest.number, str(manifest.version), model, manifest.method, mode, response, expires)
        table.add_row(*row, figures(manifest))
        found.append(manifest)
    console.print(table)
    if options := engine_options(found):
        console.print(f"On vLLM these policies need an engine that was started with {options}.", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def engine_options(manifests: Sequence[Manifest]) -> str:
    """Options of `lethe engine` under which all of these bundles find a place; empty where they need none."""
    layers = {int(site.split(".")[1]) for m in manifests for site in m.sites if site.startswith("layer.")}
    chosen = [m.calibration.get("method", {}).get("chosen", {}) for m in manifests]
    depths = [c["assistant_layers"] for c in chosen if "assistants" in c for _ in range(c["assistants"])]
    given = {"--edit-layers": sorted(layers), "--assistants": sorted(depths)}
    return " ".join(f"{option} {','.join(map(str, values))}" for option, values in given.items() if values)


SHOWN = {
    "recall": ("guard", "recall"),
    "false positives, neighbours": ("guard", "false_positives_neighbours"),
    "false positives, benign": ("guard", "false_positives_benign"),
    "leak": ("method", "check", "leak"),
    "leak without Lethe": ("method", "check_bare", "leak"),
    "leak, invented names": ("method", "check_surrogate", "leak"),
}
"""Figures of the manifest that tell most; the rest is in the bundle's CARD.md."""


def figures(manifest: Manifest) -> str:
    """The figures named in SHOWN that the manifest has, one a line."""
    lines = []
    for name, path in SHOWN.items():
        value: Any = manifest.calibration
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (int, float)):
            lines.append(f"{name} {value:.1%}")
    return "\n".join(lines)
