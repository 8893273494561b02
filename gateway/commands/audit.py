"""`lethe audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="The audit log.", no_args_is_help=True)


@app.callback()
def audit() -> None:
    """The audit log."""


@app.command()
def verify(file: Annotated[Path, typer.Argument(help="The log, `audit.path` in the settings.")]) -> None:
    """Check the hash chain; says at which line it breaks."""
    from gateway.audit import AuditError
    from gateway.audit import verify as verify_log

    console = Console()
    try:
        count = verify_log(file)
    except (AuditError, OSError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    console.print(f"{file}: {count} records, the chain is intact", style="green", markup=False, soft_wrap=True)
