"""How much is measured, and on what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.guards.fleet import LEVELS


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        authors, others: TOFU authors; whether the other two sets are measured as well.
        per_family, each, near: requests of a family; general texts of a length; neighbours of a kind.
        files: files read per source of general texts.
        flips: texts of a class that get words added.
        levels, fits, usual: sizes of fleets; invented policies that are really fitted; general texts that a fleet sees.
        rounds: timed scans.
    """

    authors: int = 20
    others: bool = True
    per_family: int = 240
    each: int = 2450
    near: int = 800
    files: int = 4000
    flips: int = 200
    levels: tuple[int, ...] = LEVELS
    fits: int = 25
    usual: int = 6300
    rounds: int = 200


SMALL = Sizes(1, False, 10, 12, 10, 40, 4, (1, 3), 0, 20, 5)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where data lies.

    Attributes:
        data: folder with `tofu`, `knowundo_privacy` and `truthfulqa`.
        fortunes: Debian's fortune files; may be missing.
        texts: whether results show the texts of public sets, and not only where they stand.
        parts: fitted parts are kept here; None for nowhere.
        given: folder of somebody's own requests; None for none.
    """

    data: Path
    fortunes: Path
    texts: bool
    parts: Path | None
    given: Path | None
