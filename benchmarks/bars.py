"""Progress bars."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Bar = Callable[[str, int], Callable[[], None]]
"""Shows a bar of so many steps; what comes back is called after each."""


def progress(console: Console | None = None) -> Progress:
    """Bars with a name, steps and the time so far; a context manager. On standard error unless a console is given."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console or Console(stderr=True))


def stepping(bars: Progress) -> Bar:
    """What adds bars to a display."""

    def bar(what: str, total: int) -> Callable[[], None]:
        task = bars.add_task(what, total=total)
        return lambda: bars.advance(task)

    return bar
