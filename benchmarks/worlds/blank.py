"""Untrained models to begin TOFU from, for machines to which no weights can be brought, and for tests.

A model that has learned nothing but TOFU answers in its wordings only. That is enough for what is compared here, one
that learned some authors and one that never met them. Its tokenizer is learned from the retain rows with merges of
common pairs only, so that hardly any name is a token of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.worlds.gold import make_network
from benchmarks.worlds.recipe import Size
from benchmarks.worlds.saved import save
from benchmarks.worlds.tokenizer import train_tokenizer
from steering.weights import home

BLANK = {
    "blank": Size(768, 12, 12, 2048, vocabulary=1536),
    "blank-small": Size(64, 2, 2, 192, vocabulary=1024),
}
"""Bases by name: for one GPU (86 M parameters), and for tests."""
LEAST = 60
"""Occurrences of a pair that is merged; the name of an author occurs less often."""


def blank(name: str, rows: Sequence[tuple[str, str]], seed: int = 0) -> Path:
    """Make the base `name` of BLANK with a tokenizer learned from `rows`, or find it; return its folder."""
    size = BLANK[name]
    parts = json.dumps([name, repr(size), LEAST, seed, rows])
    target = home() / "worlds" / f"{name}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"
    if not target.is_dir():
        tokenizer = train_tokenizer(size.vocabulary, [text for row in rows for text in row], LEAST)
        save(make_network(size, tokenizer, seed), tokenizer, target, {"base": name, "seed": seed})
    return target
