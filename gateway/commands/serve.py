"""`lethe serve`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

KEEP_ALIVE_S = 75
"""Seconds for which an idle connection lives. Clients and balancers close theirs after 15 to 60; one that was closed
from here at that moment would carry a request to nobody."""

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings file; lethe.yaml in the current folder if it is there."),
]


def serve(config: Config = None) -> None:
    """Run the gateway."""
    import uvicorn

    from gateway.app import InstallationError, create_app
    from gateway.audit import AuditError
    from gateway.check import check
    from steering.bundle import BundleError

    console = Console(stderr=True)
    settings, mistakes = check(config)
    for mistake in mistakes:
        console.print(str(mistake), style="red" if mistake.fatal else "yellow", markup=False, soft_wrap=True)
    if settings is None or any(mistake.fatal for mistake in mistakes):
        raise typer.Exit(2)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        app = create_app(settings)
    except (BundleError, AuditError, InstallationError, ValueError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    uvicorn.run(
        app,
        host=settings.listen.host,
        port=settings.listen.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        proxy_headers=False,  # nobody reads the client's address
        log_config=None,
    )
