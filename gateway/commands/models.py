"""`lethe models`: fetch the models that the project knows by a short name."""

from __future__ import annotations

import typer

app = typer.Typer(help="Fetch and list the small models that come without a model hub.", no_args_is_help=True)


@app.command()
def fetch(name: str = typer.Argument(help="Short name, see `lethe models list`.")) -> None:
    """Download, check and convert a model once; print its folder."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from steering.weights import WeightsError
    from steering.weights import fetch as fetch_weights

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as display:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for task in tasks.values():  # a step of unknown length is over when the next one begins
                    display.update(task, total=1, completed=1)
                tasks[what] = display.add_task(what, total=total or None)
            display.update(tasks[what], completed=done, total=total or None)

        try:
            folder = fetch_weights(name, show)
        except WeightsError as error:
            console.print(f"[red]error:[/red] {error}", soft_wrap=True)
            raise typer.Exit(1) from None
        for task in tasks.values():
            display.update(task, total=1, completed=1)
    typer.echo(folder)


@app.command("list")
def show_models() -> None:
    """Print every known short name, its licence and its folder if it was fetched."""
    from steering.weights import KNOWN, folder_of

    for name, model in KNOWN.items():
        folder = folder_of(name)
        typer.echo(f"{name}\t{model.licence}\t{folder if folder.is_dir() else 'not fetched'}")
