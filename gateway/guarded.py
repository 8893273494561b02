"""Runs a guard: short work at once, long work beside the event loop, and a failure closes the door."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger("lethe.guards")

T = TypeVar("T")


def attempt(task: Callable[[], T], what: str) -> T | None:
    """What a guard says; None where it failed, which is never "passed"."""
    try:
        return task()
    except Exception as error:  # whatever happens in a guard must close the door, and must not quote a text
        log.error("%s failed with %s", what, type(error).__name__)  # noqa: TRY400 - a traceback quotes the text
        return None


async def attempt_aside(task: Callable[[], T], what: str, *, size: int, inline: int) -> T | None:
    """Like `attempt`; in a thread where there are more than `inline` characters to read.

    Long texts would hold up everybody else's streams.
    """
    return attempt(task, what) if size <= inline else await asyncio.to_thread(attempt, task, what)
