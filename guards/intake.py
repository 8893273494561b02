"""What may not go live, and what the owner of a forget request should know before it does.

A request can do harm on purpose: "Keeping an Eye on LLM Unlearning: The Hidden Risk and Remedy" seeds the texts that
are to be forgotten with ordinary words, so that harmless traffic is treated as forgotten. The check of aliases runs in
every fit; `refuse` makes an error of every objection that says so. Objections name places and counts, because they are
logged; the texts behind them are in `Objection.shown`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from guards.aliases import AliasIndex, Name
from guards.encoder import Floats
from guards.evidence import Models
from guards.examples import neighbours, questions
from guards.normalize import Normalizer
from guards.part import FittedName
from guards.reading import Reader, Reading
from guards.spec import GuardSpec

MOST = 0.001
"""Largest share of benign texts in which any alias of a policy may occur: all that a gateway with the default alpha may
flag, and with more it would not start."""
FEWEST, ENOUGH = 5, 20
"""Examples below which a request is refused, and below which its owner is warned."""
NEAR = 0.95
"""Cosine from which on two texts with the same names of the policy are taken for one question in two wordings."""


class IntakeError(ValueError):
    """A policy whose guard would fire on common harmless traffic, or that contradicts itself."""


@dataclass(frozen=True, slots=True)
class Objection:
    """Something that is wrong with a forget request.

    Attributes:
        level: `refuse`: it must not go live; `warn`: its owner should know.
        rule: which check found it.
        text: what is wrong, where, what to do; without names and texts of the policy.
        shown: the texts behind it, for those who may see them.
    """

    level: Literal["refuse", "warn"]
    rule: str
    text: str
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForgetRequest:
    """The texts of a forget request: what touches it (questions, then passages) and what must stay."""

    spec: GuardSpec
    texts: tuple[str, ...]
    retained: tuple[str, ...]

    @classmethod
    def read(cls, spec: GuardSpec, base: Path) -> ForgetRequest:
        """Read the files of a policy too; paths are relative to `base`. Raises `ValueError`, `OSError`."""
        return cls(spec, (*questions(spec, base), *spec.passages), tuple(neighbours(spec, base)))

    @property
    def names(self) -> tuple[str, ...]:
        """All names, aliases and related names, in the order of the policy."""
        return tuple(name for e in self.spec.entities for name in (e.name, *e.aliases, *e.titles, *e.related))


def refuse(objections: Iterable[Objection]) -> None:
    """Raise `IntakeError` with every objection that must not go live."""
    texts = [objection.text for objection in objections if objection.level == "refuse"]
    if texts:
        raise IntakeError("\n".join(texts))


def check_aliases(
    names: Sequence[FittedName], readings: Sequence[Reading], normalizer: Normalizer, *, verbose: bool = False
) -> float:
    """Refuse aliases that are ordinary words, one by one or together; return the share of benign texts with any alias.

    An alias is named by its place in the list of names, because refusals are logged; `verbose` adds its text. Raises
    `IntakeError`.
    """
    aliases = [Name(0, n.entity, "alias", i, n.text) for i, n in enumerate(names) if n.kind == "alias"]
    models = Models([], AliasIndex(aliases, normalizer), 0)
    counts = dict.fromkeys((a.number for a in aliases), 0)
    hit = 0
    for reading in readings:
        numbers = {f.number for found in models.names(reading).values() for f in found}
        hit += bool(numbers)
        for number in numbers:
            counts[number] += 1
    common = [i for i, count in counts.items() if count > MOST * len(readings)]
    if common:
        shown = ", ".join(f"{i} ({names[i].text!r})" if verbose else str(i) for i in common)
        raise IntakeError(
            f"aliases that are ordinary words, by their place in the list of all names: {shown}; each occurs in more "
            f"than {MOST:.1%} of harmless texts. Make them related names, or use longer ones."
        )
    if hit > MOST * len(readings):
        raise IntakeError(
            f"the aliases together occur in {hit / len(readings):.1%} of harmless texts, more than "
            f"{MOST:.1%}. Make those that are ordinary words related names, or use longer ones."
        )
    return hit / max(len(readings), 1)


def few(request: ForgetRequest) -> list[Objection]:
    """Too few examples to learn anything but the names from."""
    count = len(request.texts)
    if count >= ENOUGH:
        return []
    asked = f"{count} questions and passages; the guard learns from them how the subject is asked for without its name"
    if count < FEWEST:
        return [Objection("refuse", "few", f"{asked}. Give at least {FEWEST}, better {ENOUGH}, in `examples`.")]
    return [Objection("warn", "few", f"{asked}. From {ENOUGH} on, in different wordings, it recognises more of them.")]


def contradictions(request: ForgetRequest, normalizer: Normalizer) -> list[Objection]:
    """Texts that are given both as to be forgotten and as harmless."""
    asked = {spelled(text, normalizer): at for at, text in enumerate(request.texts)}
    both = [(asked[key], i) for i, t in enumerate(request.retained) if (key := spelled(t, normalizer)) in asked]
    if not both:
        return []
    places = ", ".join(f"{a} and {b}" for a, b in both)
    said = f"texts that are both an example and harmless, by their places in both lists: {places}. Remove one of each."
    return [Objection("refuse", "contradiction", said, tuple(request.texts[a] for a, _ in both))]


def near_contradictions(request: ForgetRequest, reader: Reader) -> list[Objection]:
    """Examples and harmless texts that say the same in other words, about the same names of the policy."""
    pairs = [
        (a, b)
        for a, b in alike(request.texts, request.retained, request.names, reader)
        if spelled(request.texts[a], reader.normalizer) != spelled(request.retained[b], reader.normalizer)
    ]
    if not pairs:
        return []
    places = ", ".join(f"{a} and {b}" for a, b in pairs)
    said = (
        f"examples and harmless texts that are hard to tell apart (cosine {NEAR} or more, same names), by their places "
        f"in both lists: {places}. Remove one of each, or name in both what makes the difference."
    )
    return [
        Objection("warn", "contradiction", said, tuple(f"{request.texts[a]} | {request.retained[b]}" for a, b in pairs))
    ]


def kept_names(request: ForgetRequest, normalizer: Normalizer) -> list[Objection]:
    """Harmless texts that hold an alias of a policy under which an alias is a verdict by itself."""
    places = keeping(request, request.retained, normalizer) if request.spec.granularity == "entity" else []
    if not places:
        return []
    said = (
        f"{len(places)} of {len(request.retained)} harmless texts hold an alias, so they will be flagged: places "
        f"{', '.join(map(str, places))}. Remove them, make the alias a related name, or choose `granularity: facts`."
    )
    return [Objection("warn", "contradiction", said, tuple(request.retained[at] for at in places))]


def keeping(request: ForgetRequest, retained: Sequence[str], normalizer: Normalizer) -> list[int]:
    """Places of harmless texts that hold a name or alias of a request, spelled as it is there."""
    aliases = {f" {spelled(alias, normalizer)} " for e in request.spec.entities for alias in (e.name, *e.aliases)}
    padded = [f" {spelled(text, normalizer)} " for text in retained]
    return [at for at, text in enumerate(padded) if any(alias in text for alias in aliases)]


def alike(one: Sequence[str], other: Sequence[str], names: Collection[str], reader: Reader) -> list[tuple[int, int]]:
    """Places of texts of two lists that are near duplicates: cosine of at least NEAR, and the same of `names` in both.

    Without the names a question about somebody else would be a duplicate, which is what good neighbours look like.
    """
    if not one or not other:
        return []
    index = {" ".join(reader.normalizer.words(name)) for name in names}
    held = [[_held(text, index, reader.normalizer) for text in texts] for texts in (one, other)]
    cosines = whole_vectors(one, reader) @ whole_vectors(other, reader).T
    close = zip(*(axis.tolist() for axis in np.nonzero(cosines >= NEAR)), strict=True)
    return [(a, b) for a, b in close if held[0][a] == held[1][b]]


def whole_vectors(texts: Sequence[str], reader: Reader) -> Floats:
    """Unit vectors of whole texts, `[texts, dim]`."""
    words = [reader.normalizer.fold(text).words()[0] for text in texts]
    ends = np.cumsum([len(w) for w in words])
    return reader.encoder.read([w for ws in words for w in ws]).vectors(np.concatenate([[0], ends[:-1]]), ends)


def _held(text: str, names: Collection[str], normalizer: Normalizer) -> frozenset[str]:
    padded = f" {spelled(text, normalizer)} "
    return frozenset(name for name in names if f" {name} " in padded)


def spelled(text: str, normalizer: Normalizer) -> str:
    """A text without case, accents, punctuation and spacing, by which texts are compared."""
    return " ".join(normalizer.words(text))
