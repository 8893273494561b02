"""What the words of a policy's statements tell: how surprising each is in a harmless text, in nats.

The least of three estimates of -log of the share of harmless texts with a word: from its rank among the words of a
large corpus (Zipf, Human Behavior and the Principle of Least Effort, 1949), from the benign texts of the fit, and from
the policy's own neighbours. So neither "award" nor, among questions about other writers, "novel" describes anybody.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guards.encoder import Floats
from guards.normalize import Normalizer
from guards.reading import Reading

COMMON, UNLISTED = 4000, 64_000
"""Rank of a word that tells nothing, and of words that the list does not hold."""
PROPER = 2.0
"""Nats more for a word that statements write with a capital inside of a sentence."""
YEAR = 3.0
"""Nats of a number of four digits by itself."""
SEEN = 1.0
"""Nats less for a word that harmless texts hold, since they are few."""
LEAST = 1.5
"""Nats; a word below is no attribute."""
SHORTEST = 4
"""Letters of an attribute."""
SCALE = 0.4
"""Score per nat; chosen on policies about other authors than those of any measurement."""

_CAPITAL = re.compile(r"(?<![.!?:]\s)(?<![.!?:]\s['\"\u2018\u201c])(?<=[\s'\"\u2018\u201c(-])[A-Z][\w'\u2019-]+")


@dataclass(frozen=True, slots=True)
class Held:
    """How many of `texts` hold each word."""

    counts: Mapping[str, int]
    texts: int

    @classmethod
    def of(cls, texts: Sequence[Collection[str]]) -> Held:
        """Count; every text is given as its different words."""
        return cls(Counter(word for text in texts for word in text), len(texts))

    def surprise(self, word: str, without: int = 0) -> float:
        """Nats of a word when so many texts with it are left out; infinite where no other holds it."""
        count = self.counts.get(word, 0) - without
        return float(np.log(self.texts / count)) - SEEN if count > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class Surprise:
    """What is known of harmless words: ranks of frequent ones, and who holds them among benign texts and neighbours."""

    ranks: Mapping[str, int]
    benign: Held
    near: Held

    def score(self, word: str, *, proper: bool, left_out: int = 0) -> float:
        """What an attribute adds to the score of a window; 0 for a word that tells too little.

        `left_out`: so many neighbours that hold the word are not counted.
        """
        nats = YEAR
        if not word.isdigit():
            rank = min(self.ranks.get(word, UNLISTED), self.ranks.get(f"{word}s", UNLISTED))
            nats = max(0.0, float(np.log(rank / COMMON))) + PROPER * proper
        nats = min(nats, self.benign.surprise(word), self.near.surprise(word, left_out))
        return SCALE * nats if nats >= LEAST else 0.0

    def attributes(self, words: Mapping[str, bool]) -> dict[str, float]:
        """Weights of those words that tell enough; `words` are what `stated` found."""
        scores = {word: self.score(word, proper=proper) for word, proper in sorted(words.items())}
        return {word: score for word, score in scores.items() if score}

    def held_out(self, near: Sequence[Collection[str]], subjects: Sequence[Mapping[str, bool]]) -> Floats:
        """Score of every neighbour by attributes, its own words not counted in their weights."""

        def best(text: Collection[str]) -> float:
            held = ([w for w in text if w in words] for words in subjects)
            sums = (
                sum(self.score(w, proper=words[w], left_out=1) for w in own)
                for words, own in zip(subjects, held, strict=True)
            )
            return max(sums, default=0.0)

        return np.array([best(text) for text in near], np.float32)


def stated(statements: Sequence[str], names: Collection[str], normalizer: Normalizer) -> dict[str, bool]:
    """Words of what a policy says, those of its names left out; whether each is written as a proper noun."""
    own = {word for name in names for word in _words(name, normalizer)}
    found: dict[str, bool] = {}
    for statement in statements:
        proper = {word for match in _CAPITAL.findall(statement) for word in _words(match, normalizer)}
        for word in _words(statement, normalizer) - own:
            if len(word) == SHORTEST or (len(word) > SHORTEST and not word.isdigit()):
                found[word] = found.get(word, False) or word in proper
    return found


def different(readings: Sequence[Reading]) -> list[frozenset[str]]:
    """The different words of every text, in the singular."""
    return [frozenset(map(singular, r.views[0].words)) if r.views else frozenset() for r in readings]


def singular(word: str) -> str:
    """A word without the s of a plural."""
    return word[:-1] if len(word) > SHORTEST and word[-1] == "s" and word[-2] != "s" else word


def _words(text: str, normalizer: Normalizer) -> frozenset[str]:
    return frozenset(map(singular, normalizer.words(text)))
