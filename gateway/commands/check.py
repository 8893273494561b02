"""`lethe check`."""

from __future__ import annotations

import typer
from rich.console import Console

from gateway.commands.serve import Config


def check(config: Config = None) -> None:
    """Explain every mistake in the settings and the bundles; exit status 2 if the gateway would not start."""
    from gateway import check as checker

    console = Console()
    settings, mistakes = checker.check(config)
    for mistake in mistakes:
        console.print(str(mistake), style="red" if mistake.fatal else "yellow", markup=False, soft_wrap=True)
    if settings is None or any(mistake.fatal for mistake in mistakes):
        raise typer.Exit(2)
    console.print(f"settings are right; {len(settings.bundles)} bundles", style="green", markup=False)
