"""`lethe keygen`."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated

import typer


def keygen(
    tenant: Annotated[str | None, typer.Option(help="Print an API key of this tenant and its entry in `keys`.")] = None,
) -> None:
    """Print fresh secrets: LETHE_BUNDLE_KEY and LETHE_ENGINE_KEY, or an API key with --tenant."""
    if tenant is None:
        typer.echo(f"LETHE_BUNDLE_KEY={secrets.token_hex(32)}")
        typer.echo(f"LETHE_ENGINE_KEY={secrets.token_hex(32)}")
        return
    key = f"sk-{secrets.token_urlsafe(32)}"
    typer.echo(f"key, shown only now: {key}")
    typer.echo(f"keys:\n  - tenant: {tenant}\n    sha256: {hashlib.sha256(key.encode()).hexdigest()}")
