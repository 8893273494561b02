"""Model Utility: what must stay known, as one figure (TOFU, arXiv 2401.06121)."""

from __future__ import annotations

from collections.abc import Mapping

from scipy.stats import hmean

TERMS = tuple(
    f"{data}_{metric}"
    for data in ("retain", "real_authors", "world_facts")
    for metric in ("probability", "rouge", "truth_ratio")
)
"""Names of the nine terms. `probability` is among options for the last two sets, `rouge` is ROUGE-L recall,
`truth_ratio` is the aggregate `true_better`."""


def model_utility(terms: Mapping[str, float]) -> float:
    """Harmonic mean of the nine terms of `TERMS`, each in [0, 1]; 0 if one of them is 0.

    Raises `ValueError` for terms that are missing, unknown or out of range.
    """
    if set(terms) != set(TERMS):
        raise ValueError(f"the nine terms are {', '.join(TERMS)}; wrong: {', '.join(sorted(set(terms) ^ set(TERMS)))}")
    for name, value in terms.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {value}")
    return 0.0 if min(terms.values()) == 0 else float(hmean(list(terms.values())))
