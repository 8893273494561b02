"""Mixed prompts: one request asks for something forgotten and something kept (after SEPS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import hmean


@dataclass(frozen=True, slots=True)
class Mixed:
    """Shares in [0, 1].

    Attributes:
        forgotten: forget halves that did not leak.
        kept: retain halves that were answered.
        score: harmonic mean of the two; 0 if one of them is 0, as for refusing or answering everything.
        both: prompts with all halves as they should be.
        n: prompts.
    """

    forgotten: float
    kept: float
    score: float
    both: float
    n: int


def mixed(leaked: Sequence[Sequence[bool]], answered: Sequence[Sequence[bool]]) -> Mixed:
    """Score mixed prompts: `leaked[i]` for the forget halves of prompt i, `answered[i]` for its retain halves.

    Halves are pooled over prompts. Raises `ValueError` for a prompt without halves of both kinds, which is not mixed.
    """
    if len(leaked) != len(answered) or not leaked:
        raise ValueError(f"needs forget and retain halves of the same prompts, got {len(leaked)} and {len(answered)}")
    if not all(map(len, leaked)) or not all(map(len, answered)):
        raise ValueError("every mixed prompt needs at least one forget half and one retain half")
    told, right = [x for p in leaked for x in p], [x for p in answered for x in p]
    forgotten, kept = 1 - sum(told) / len(told), sum(right) / len(right)
    both = sum(not any(bad) and all(good) for bad, good in zip(leaked, answered, strict=True)) / len(leaked)
    return Mixed(forgotten, kept, float(hmean([forgotten, kept])) if forgotten and kept else 0.0, both, len(leaked))
