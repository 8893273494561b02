"""How a training run is shown, and how its model gets to disk."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.worlds.training import Report


@contextmanager
def bar(what: str) -> Iterator[Report]:
    """A progress bar on standard error over one training run; gives the `Report` that moves it."""
    from rich.console import Console  # noqa: PLC0415 - only where progress is shown
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415 - only where progress is shown

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("loss {task.fields[loss]:.3f}")
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as display:
        task = display.add_task(what, total=1.0, loss=float("nan"))
        yield lambda done, loss: display.update(task, completed=done, loss=loss)


def save(network: Any, tokenizer: Any, target: Path, origin: Mapping[str, object]) -> None:
    """Write a Hugging Face folder in float32, with `origin.json` on where the model comes from.

    The folder appears by one rename, so whoever sees it sees it whole.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        staging = Path(scratch) / "model"
        network.float().cpu().save_pretrained(staging)
        for file in staging.glob("*.safetensors"):
            file.chmod(0o644)  # safetensors writes 0600, but an engine may run as another user
        tokenizer.save_pretrained(staging)
        (staging / "origin.json").write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
        try:
            staging.rename(target)
        except OSError:
            if not target.is_dir():  # somebody else training the same model was faster: theirs is as good
                raise
