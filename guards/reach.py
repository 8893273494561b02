"""How far a fitted guard reaches into harmless traffic: whether a forget request is over-broad.

Three ways to be so. Names alone decide too many harmless texts: thresholds cannot help. Of what all active policies
flag together, which the calibration bounds by alpha, one takes more than alpha over their number. Or the subject is so
ordinary that a guard fitted on half of the examples could recognise the other half only by flagging more than alpha.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from guards.aliases import AliasIndex
from guards.benign import Benign
from guards.english import english_words
from guards.evidence import Models, indexed
from guards.examples import questions
from guards.fit import fit
from guards.guard import Guard, Shared
from guards.intake import ENOUGH, MOST, Objection
from guards.normalize import Bools
from guards.part import FittedPart
from guards.share import CONFIDENCE, lower
from guards.spec import Example, GuardSpec
from guards.verdict import TextPart, Verdict

SHOWN = 20
"""Harmless texts that are shown of those that would be hit."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Reach:
    """Which harmless texts a policy's guard flags (`flagged`), among all active policies."""

    texts: tuple[Benign, ...]
    flagged: Bools

    @classmethod
    def of(cls, guard: Guard, policy: str, texts: Sequence[Benign], progress: Progress) -> Reach:
        """Ask the guard about every text as a request of its own.

        Left out are texts that may hold a proper name and are flagged for a name: they are about somebody who is to be
        forgotten.
        """
        kept, flagged = [], []
        for at, item in enumerate(texts):
            verdict = _ask(guard, policy, item.text)
            if not (item.named and verdict.flagged and verdict.source == "alias"):
                kept.append(item)
                flagged.append(verdict.flagged)
            progress("asking about harmless texts", at / len(texts))
        return cls(tuple(kept), np.array(flagged, bool))

    def broad(self, share: float, what: str = "harmless texts") -> list[Objection]:
        """Whether more than a share of the texts is hit: refused beyond doubt, warned of otherwise."""
        hits = np.flatnonzero(self.flagged)
        n = len(self.texts)
        if len(hits) <= share * n:
            return []
        bound = lower(len(hits), n)
        said = (
            f"the guard flags {len(hits)} of {n} {what} ({len(hits) / n:.2%}, at least {bound:.2%} with "
            f"{CONFIDENCE:.0%} confidence); its share is {share:.2%}. Name the subject more narrowly, or give the "
            "texts that it hits in `retain`."
        )
        shown = tuple(f"{i}: {self.texts[i].text}" for i in hits[:SHOWN].tolist())
        return [Objection("refuse" if bound > share else "warn", "broad", said, shown)]


def decided_by_names(part: FittedPart, shared: Shared) -> list[Objection]:
    """Whether names alone, aliases or two related names together, decide too many harmless texts."""
    reader, corpus = shared.reader, shared.corpus
    models = Models(
        [part],
        AliasIndex(indexed([part]), reader.normalizer, reader.encoder.vocabulary, english_words()),
        reader.encoder.dim,
    )
    hits = [
        (at, found)
        for at, (text, reading) in enumerate(zip(corpus.texts, corpus.readings, strict=True))
        if not text.named and (found := models.deciding(0, ((0, f) for f in models.names(reading).get(0, ()))))
    ]
    n = sum(not text.named for text in corpus.texts)
    if len(hits) <= MOST * n:
        return []
    numbers = sorted({found.number for _, names in hits for _, found in names})
    spelled = {name.number: name.text for name in part.names}
    said = (
        f"names alone decide {len(hits)} of {n} harmless texts ({len(hits) / n:.1%}, allowed {MOST:.1%}): "
        f"numbers {', '.join(map(str, numbers))} in the list of all names. Drop related names that are ordinary words."
    )
    shown = [f"{number}: {spelled[number]}" for number in numbers]
    shown += [f"harmless text {at}: {corpus.texts[at].text}" for at, _ in hits[:SHOWN]]
    return [Objection("refuse", "broad", said, tuple(shown))]


def indistinct(
    spec: GuardSpec,
    base: Path,
    others: Mapping[str, FittedPart],
    *,
    key: bytes,
    alpha: float,
    shared: Shared,
    progress: Progress,
) -> list[Objection]:
    """Whether half of the questions can be recognised by a guard fitted on the other half within alpha.

    A p-value of a question is the share of harmless texts that score as high; the median of those of the questions that
    were left out is what it would cost to recognise half of them. Too few questions say nothing.
    """
    asked = questions(spec, base)
    if len(asked) < ENOUGH:
        return []
    random.Random(0).shuffle(asked)
    given, left = asked[::2], asked[1::2]
    half = spec.model_copy(update={"examples": tuple(Example(question=q) for q in given), "examples_file": None})
    part = fit(half, base, key=key, progress=progress)
    guard = Guard({**others, _HALF: part}, alpha=alpha, shared=shared)
    verdicts = sorted((_ask(guard, _HALF, text) for text in left), key=lambda verdict: verdict.p_value)
    middle = verdicts[len(verdicts) // 2]
    if middle.p_value <= alpha:
        return []
    hit = [i for i, item in enumerate(shared.corpus.texts) if _ask(guard, _HALF, item.text).score >= middle.score]
    said = (
        f"the subject cannot be told from harmless traffic: to recognise half of {len(left)} questions that it was not "
        f"fitted on, the guard would flag {middle.p_value:.1%} of harmless texts ({len(hit)} of "
        f"{len(shared.corpus.texts)}), more than {alpha:.1%}. Ask for a narrower subject, or give its names as aliases."
    )
    return [Objection("refuse", "broad", said, tuple(f"{i}: {shared.corpus.texts[i].text}" for i in hit[:SHOWN]))]


_HALF = "half"


def _ask(guard: Guard, policy: str, text: str) -> Verdict:
    (verdict,) = guard.scan([TextPart("/messages/0/content", "user", text)], [policy])
    return verdict
