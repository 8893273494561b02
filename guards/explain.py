"""Why the guards decide about a text as they do, and how long every tier takes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guards.aliases import AliasIndex, Kind
from guards.english import english_words
from guards.evidence import Found, Models, indexed
from guards.guard import CENTRE, Guard
from guards.intake import whole_vectors
from guards.part import FittedPart
from guards.reading import Reader
from guards.verdict import Source, Span, TextPart, Verdict
from guards.whole import LONGEST

WARM = "How far is it from the harbour to the old market?"
"""Read before the clock starts: the first text of a process pays for imports and tables."""


@dataclass(frozen=True, slots=True)
class NameAt:
    """A name of the policy at the characters `[start, end)`; `number` is its place in the list of all names."""

    kind: Kind
    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reason:
    """What one policy makes of a text. Positions are characters of it.

    Attributes:
        policy, flagged, p_value, truncated: see `Verdict`.
        tier: what decided; `none` for a text that is not flagged.
        score: of the worst window, evidence of names added, in standard deviations above the mean harmless text; None
            where names alone decide, and for a text without words. Of the first look, below the threshold where the
            second one decided.
        threshold: score from which on the policy flags a request of this size.
        names: names found, aliases and related ones.
        worst: the place with the highest score, names not added, and that score; None for a text without words. It is
            a window of the linear model, or the attribute that tells most (see `guards.attributes`). Of a policy about
            facts whose subject is named: as the guard weighs it, without the names.
        windows, described: what is treated as flagged; see `Verdict`.
    """

    policy: str
    flagged: bool
    tier: Source
    score: float | None
    threshold: float
    p_value: float
    names: tuple[NameAt, ...]
    worst: tuple[int, int, float] | None
    windows: tuple[tuple[int, int], ...]
    described: tuple[tuple[int, int], ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """One reason per policy, and milliseconds by tier: `read`, `names`, `classifier`, and the `scan` as a whole.

    With a second encoder, `second` is what it takes to read a short text; the scan finds it read.
    """

    reasons: tuple[Reason, ...]
    ms: Mapping[str, float]


def explain(guard: Guard, parts: Mapping[str, FittedPart], text: str, role: str = "user") -> Explanation:
    """Explain what the guard, built from these parts, says about a request of one text.

    The tiers are run once more by themselves to be timed. The scan also searches the words that describe the subject in
    a flagged text, which the tiers do not.
    """
    reader = guard.shared.reader
    ordered = [parts[policy] for policy in guard.policies]
    models = Models(
        ordered,
        AliasIndex(indexed(ordered), reader.normalizer, reader.encoder.vocabulary, english_words()),
        reader.encoder.dim,
    )
    request = [TextPart("/messages/0/content", role, text)]
    guard.scan([TextPart("/messages/0/content", role, WARM)])
    models.weigh(reader.read(WARM), _everything(models))
    clock = [time.perf_counter()]
    reading = reader.read(text)
    clock.append(time.perf_counter())
    models.names(reading)
    clock.append(time.perf_counter())
    models.scores(reading.vectors)
    clock.append(time.perf_counter())
    whole = guard.shared.whole
    looked = whole is not None and len(text) <= LONGEST
    if whole is not None and looked:
        whole.vectors([text])
        clock.append(time.perf_counter())
    verdicts = guard.scan(request)
    clock.append(time.perf_counter())
    limits, evidence = guard.limits(request), models.weigh(reading, _everything(models))
    windows = dict(evidence.hits)
    nameless = guard.nameless(request)
    if nameless.policies:
        again = models.weigh(reader.read(nameless.parts[0].text), _everything(models)).hits
        for at in nameless.policies:
            windows[at] = [*(windows.get(at, ()) if nameless.coded else ()), *again.get(at, ())]
    reasons = [
        _reason(verdict, limits[verdict.policy], evidence.found.get(at, []), windows.get(at, []))
        for at, verdict in enumerate(verdicts)
    ]
    spent = np.diff(clock) * 1e3
    tiers = ("read", "names", "classifier", *(["second"] if looked else []), "scan")
    return Explanation(tuple(reasons), dict(zip(tiers, spent.round(3).tolist(), strict=True)))


def nearest(text: str, examples: Sequence[str], reader: Reader) -> tuple[int, float]:
    """Place of the example nearest to a text, and their cosine. Raises `ValueError` without examples."""
    if not examples:
        raise ValueError("the policy holds no examples to compare with")
    cosines = whole_vectors(examples, reader) @ whole_vectors([text], reader)[0]
    return int(np.argmax(cosines)), float(cosines.max())


def _everything(models: Models) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Floors that every window reaches."""
    return np.full(len(models.bias), -np.inf, np.float32)


def _reason(
    verdict: Verdict, limit: float, names: Sequence[Found], windows: Sequence[tuple[float, int, int]]
) -> Reason:
    worst = max(windows, default=None)
    return Reason(
        policy=verdict.policy,
        flagged=verdict.flagged,
        tier=verdict.source,
        score=_deviations(verdict.score),
        threshold=limit,
        p_value=verdict.p_value,
        names=tuple(NameAt(f.kind, f.number, f.start, f.end) for f in names),
        worst=None if worst is None else (worst[1], worst[2], worst[0]),
        windows=_ranges(verdict.windows),
        described=_ranges(verdict.described),
        truncated=verdict.truncated,
    )


def _deviations(shown: float) -> float | None:
    """The score behind the one that a verdict shows, which is squashed into [0, 1]."""
    return CENTRE + math.log(shown / (1 - shown)) if 0 < shown < 1 else None


def _ranges(spans: Sequence[Span]) -> tuple[tuple[int, int], ...]:
    return tuple((span.start, span.end) for span in spans)
