"""Ordinary words in a forget request: the stealthy attack binds them to forgetting, so that harmless texts are flagged.

A word is suspicious where it is common in harmless texts and far more common in the texts of the request. A subject has
words of its own, but those are rare elsewhere; and what a request's harmless neighbours hold as often, its guard learns
to let pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from guards.benign import Benign
from guards.intake import ForgetRequest, Objection
from guards.normalize import Bools, Normalizer
from guards.share import lower

COMMON = 0.01
"""Share of harmless texts without names of people and works from which on a word of them is ordinary."""
ODDS = 4.0
"""So many times the odds of a harmless text to hold a word are unusual, whatever their number."""
BOUND = 0.5
"""Share of the examples from which on a word that they hold is part of what is forgotten."""
SIGNIFICANCE = 0.01
"""Family-wise, over all words that are tested."""


@dataclass(frozen=True, slots=True)
class Unusual:
    """An ordinary word at an unusual rate: held by `count` texts of the request, and by a share `usual` of others.

    `named`: it is a word of a name of the policy, without which nobody can ask about the subject; names are checked by
    themselves.
    """

    word: str
    count: int
    share: float
    usual: float
    p_value: float
    named: bool


@dataclass(frozen=True, slots=True)
class Words:
    """Which texts hold which words. `held[word]` are the places of the texts, in order."""

    held: dict[str, list[int]]
    texts: int

    @classmethod
    def of(cls, texts: Sequence[str], normalizer: Normalizer) -> Words:
        """Look up the words of every text once."""
        held: dict[str, list[int]] = {}
        for at, text in enumerate(texts):
            for word in set(normalizer.words(text)):
                held.setdefault(word, []).append(at)
        return cls(held, len(texts))

    def share(self, word: str) -> float:
        """Share of the texts that hold a word, by Laplace's rule of succession; 0 without any text."""
        return (len(self.held.get(word, ())) + 1) / (self.texts + 2) if self.texts else 0.0


def unusual(request: ForgetRequest, harmless: Sequence[Benign], normalizer: Normalizer) -> list[Unusual]:
    """Ordinary words that the texts of a request hold at unusual rates, the worst first.

    One-sided binomial tests of the number of texts with a word against the largest of its shares among harmless texts,
    harmless questions, and the request's own neighbours; Holm's correction (Scandinavian Journal of Statistics, 1979).
    """
    asked = Words.of(request.texts, normalizer)
    plain = Words.of([b.text for b in harmless if not b.named], normalizer)
    references = (
        Words.of([b.text for b in harmless], normalizer),
        Words.of([b.text for b in harmless if b.text.rstrip().endswith("?")], normalizer),
        Words.of(request.retained, normalizer),
    )
    common = (w for w in asked.held if len(plain.held.get(w, ())) >= COMMON * plain.texts)
    tested = sorted(word for word in common if len(word) > 1)
    if not tested:
        return []
    usual = np.array([max(words.share(word) for words in references) for word in tested])
    counts = np.array([len(asked.held[word]) for word in tested])
    p_values = holm(binom.sf(counts - 1, asked.texts, usual))
    shares = counts / asked.texts
    odds = shares / np.maximum(1 - shares, 0.5 / asked.texts) * (1 - usual) / usual
    chosen = np.flatnonzero((p_values <= SIGNIFICANCE) & (odds >= ODDS))
    names = {word for name in request.names for word in normalizer.words(name)}
    found = [
        Unusual(tested[i], int(counts[i]), float(shares[i]), float(usual[i]), float(p_values[i]), tested[i] in names)
        for i in chosen.tolist()
    ]
    return sorted(found, key=lambda item: (item.p_value, item.word))


def holm(p_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Adjusted p-values that hold for the whole family of tests."""
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def seeded(
    words: Sequence[Unusual], harmless: Sequence[Benign], flagged: Bools, share: float, normalizer: Normalizer
) -> list[Objection]:
    """What the words do.

    Refused are those, no words of names, that most examples hold and with which harmless texts are flagged beyond the
    policy's share, at 95 % confidence. The others are warned of: hits lie somewhere, and texts near the subject share
    words with it.

    Args:
        words: what `unusual` found.
        harmless, flagged: harmless texts, and which of them the fitted guard flags.
        share: share of harmless texts that this policy may flag.
        normalizer: the guard's.
    """
    held = Words.of([b.text for b in harmless], normalizer).held
    worst: list[tuple[Unusual, int, int]] = []
    rest: list[tuple[Unusual, int, int]] = []
    for item in words:
        places = held.get(item.word, [])
        hits = int(flagged[places].sum())
        bound = lower(hits, len(places))
        (worst if item.share >= BOUND and bound > share and not item.named else rest).append((item, hits, len(places)))
    found = []
    if worst:
        hits, texts = sum(h for _, h, _ in worst), sum(t for _, _, t in worst)
        said = (
            f"{len(worst)} ordinary words are held by most examples and by few other texts, and the guard flags {hits} "
            f"of {texts} harmless texts with them, more than its share of {share:.2%}. Write the examples without "
            "them, or give harmless texts with these words in `retain`."
        )
        found.append(Objection("refuse", "seeded", said, tuple(_shown(item, hits, n) for item, hits, n in worst)))
    if rest:
        said = (
            f"{len(rest)} ordinary words are held by unusually many examples. Vary the wording, or give harmless texts "
            "with these words in `retain`, so that the guard does not learn them for the subject."
        )
        found.append(Objection("warn", "seeded", said, tuple(_shown(item, hits, n) for item, hits, n in rest)))
    return found


def _shown(item: Unusual, hits: int, texts: int) -> str:
    return (
        f"{item.word!r}: in {item.count} examples ({item.share:.0%}), usually {item.usual:.1%}, p {item.p_value:.1g}; "
        f"{hits} of {texts} harmless texts with it flagged"
    )
