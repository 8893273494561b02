"""The guard of all active policies: the texts of a request in, one verdict per policy out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from guards.aliases import AliasIndex
from guards.calibrate import SIZES, Calibration, Corpus
from guards.encoder import Encoder, load_encoder
from guards.evidence import Evidence, Found, Models, indexed, text_size
from guards.memory import Memory
from guards.part import FittedPart, PartError
from guards.reading import Reader
from guards.request import Request, merged
from guards.telling import telling
from guards.turns import Joint, joints, rows, unread
from guards.verdict import Span, TextPart, Verdict, joined

CENTRE = 4.0
"""A verdict's score is 1/2 so many standard deviations above the worst window of the mean benign text."""
TIE = 1e-4
"""Scores that differ by less are one score: products over other numbers of windows round otherwise, and a sentence that
is itself among the calibration texts must not be flagged for that."""
ROUNDS, MOST_WINDOWS = 4, 8
"""Readings of a flagged request, and windows of each, in search of the words that tell. Beyond, whole windows go: the
search costs milliseconds a window, and a client can write thousands."""
NAMES_ONLY = frozenset({"tool_definition"})
"""Roles whose texts the linear models of policies with granularity entity do not read: keys and fragments."""
MOST_SPELLINGS = 64
"""Spellings of names in one request that are looked at to learn whether they are names and nothing else; more are taken
for codes."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What successive guards share: the reader and the calibration texts, read once."""

    reader: Reader
    corpus: Corpus

    @classmethod
    def load(cls, encoder: Encoder | None = None) -> Shared:
        """Load the encoder (WordLlama unless another is given) and read the calibration texts; takes seconds."""
        reader = Reader(encoder or load_encoder("wordllama"))
        return cls(reader, Corpus.read(reader))


@dataclass(frozen=True, slots=True)
class Nameless:
    """A request without the names of its policies about facts.

    Attributes:
        parts: its texts with white space in the place of the names, or of the codes that hold them.
        policies: places of the policies that weigh these texts.
        coded: a code went with a name of any of them, and the question may have been in it, so that the texts with the
            names count as well.
    """

    parts: list[TextPart]
    policies: tuple[int, ...]
    coded: bool


class Guard:
    """Scores requests against all active policies. Thread-safe; never raises for any text."""

    def __init__(self, parts: Mapping[str, FittedPart], *, alpha: float, shared: Shared) -> None:
        """See `from_parts`."""
        self.policies = tuple(sorted(parts))
        self.shared = shared
        ordered = [parts[policy] for policy in self.policies]
        encoder = shared.reader.encoder
        for policy, part in zip(self.policies, ordered, strict=True):
            if part.fingerprint != encoder.fingerprint or len(part.weights) != encoder.dim:
                raise PartError(
                    f"policy {policy}: fitted with {part.fingerprint}, but this installation has "
                    f"{encoder.fingerprint}; compile it again"
                )
        ordinary = encoder.vocabulary
        index = AliasIndex(indexed(ordered), shared.reader.normalizer, ordinary)
        self._models = Models(ordered, index, encoder.dim)
        self._calibrations = [Calibration(maxima, alpha) for maxima in shared.corpus.maxima(self._models)]
        self.calibration = self._calibrations[0]
        """Of a request of one text."""
        if ordered and not np.isfinite(self.calibration.cutoff):
            raise PartError(self._too_ordinary(alpha))
        cutoffs = np.maximum.accumulate(np.array([c.cutoff for c in self._calibrations], np.float32))
        cutoffs = cutoffs + np.float32(TIE)
        self._limits = np.maximum(cutoffs[:, None], self._models.threshold)
        self._facts = np.array(self._models.facts, bool)
        # Beside a name the question is which of a person's facts is asked for, and the policy's own threshold tells.
        self._models.boost = np.where(self._facts, self._limits[0] - self._models.threshold, self._models.boost)
        self._floors = self._limits[0] - self._models.boost
        self._position = {policy: i for i, policy in enumerate(self.policies)}
        self._memory = Memory()

    @classmethod
    def from_parts(cls, parts: Mapping[str, bytes], *, alpha: float, shared: Shared | None = None) -> Guard:
        """Build the guard of all active policies from the parts of their bundles.

        Args:
            parts: opaque policy number -> `FittedPart.to_bytes()`.
            alpha: rate at which harmless requests may be flagged by any policy at all.
            shared: what an earlier guard had (`guard.shared`); saves reading the calibration texts again.

        Raises:
            PartError: a part that cannot be used, or names that are too ordinary for alpha.
            ValueError: alpha that cannot be reached with the calibration texts.
        """
        fitted = {policy: FittedPart.from_bytes(data) for policy, data in parts.items()}
        return cls(fitted, alpha=alpha, shared=shared or Shared.load())

    def scan(self, parts: Sequence[TextPart], policies: Collection[str] | None = None) -> list[Verdict]:
        """Score the texts of one request; one verdict per policy, in the order of the policy numbers.

        Rows of a batch are judged as requests of their own: a name in one does not make another suspicious.

        Raises `KeyError` for a policy that this guard does not have.
        """
        chosen = range(len(self.policies)) if policies is None else sorted(self._position[p] for p in set(policies))
        if not rows(parts):
            return self._scan(parts, chosen)
        each = [self._scan([part], chosen) for part in parts]
        return [joined(of_policy) for of_policy in zip(*each, strict=True)]

    def limits(self, parts: Sequence[TextPart]) -> dict[str, float]:
        """Score from which on every policy flags a request of these texts, in deviations of the worst benign window."""
        return dict(zip(self.policies, self._limits[self._level(self._collect(parts))].tolist(), strict=True))

    def nameless(self, parts: Sequence[TextPart]) -> Nameless:
        """What policies about facts weigh where a request names one of their subjects."""
        return self._nameless(parts, self._collect(parts))

    def _scan(self, parts: Sequence[TextPart], chosen: Sequence[int]) -> list[Verdict]:
        request = self._collect(parts)
        self._ask_again(parts, request)
        verdicts = self._verdicts(request, chosen)
        for at, (policy, verdict) in enumerate(zip(chosen, verdicts, strict=True)):
            if verdict.flagged:
                limit = float(self._limits[self._level(request), policy])
                verdicts[at] = verdict._replace(described=self._described(parts, verdict, policy, limit))
        return verdicts

    def _ask_again(self, parts: Sequence[TextPart], request: Request) -> None:
        """Weigh the texts without their names for policies about facts: their models were fitted on such texts."""
        nameless = self._nameless(parts, request)
        if not nameless.policies:
            return
        again = self._collect(nameless.parts)
        for policy in nameless.policies:
            best, hits = again.best[policy], again.hits.get(policy, [])
            request.best[policy] = max(request.best[policy], best) if nameless.coded else best
            request.hits[policy] = [*request.hits.get(policy, ()), *hits] if nameless.coded else hits

    def _nameless(self, parts: Sequence[TextPart], request: Request) -> Nameless:
        policies = tuple(policy for policy in request.names if self._facts[policy])
        spans: list[Span] = []
        spelled: set[tuple[int, int, tuple[str, ...]]] = set()
        for policy in policies:
            for number, name in request.names[policy]:
                places = list(request.spans(number, name.start, name.end))
                spans += places
                spelled.add((policy, name.number, tuple(parts[s.part].text[s.start : s.end] for s in places)))
        coded = len(spelled) > MOST_SPELLINGS or not all(
            any(self._only_name(policy, name, glue.join(pieces)) for glue in (" ", ""))
            for policy, name, pieces in spelled
        )
        return Nameless(_without(parts, spans), policies, coded)

    def _only_name(self, policy: int, number: int, text: str) -> bool:
        """Whether a text is a name from end to end, and so nothing is lost with it. A code may hold more than it."""
        reading = self.shared.reader.read(text)
        plain = replace(
            reading,
            views=tuple(view for view in reading.views if (view.ends - view.starts == 1).all()),
            heard=tuple(heard for heard in reading.heard if heard.source is None),
        )
        found = self._models.names(plain).get(policy, ())
        return any((name.number, name.start, name.end) == (number, 0, len(text)) for name in found)

    def _described(self, parts: Sequence[TextPart], verdict: Verdict, policy: int, limit: float) -> tuple[Span, ...]:
        """What else must go, so that the rest of a flagged request would not be flagged without its names."""
        gone: list[Span] = []
        for _ in range(ROUNDS):
            blanked = _without(parts, [*verdict.entities, *gone])
            windows = merged(self._collect(blanked).above(policy, limit))
            if not windows:
                return merged(gone)
            if len(windows) > MOST_WINDOWS:
                break
            for window in windows:
                gone += self._telling(blanked[window.part].text, window, policy, limit)
        return merged([*gone, *self._collect(_without(parts, verdict.entities)).above(policy, limit)])

    def _telling(self, text: str, window: Span, policy: int, limit: float) -> list[Span]:
        found = telling(
            text[window.start : window.end],
            self.shared.reader.encoder,
            self.shared.reader.normalizer,
            lambda vectors: self._models.scores(vectors, slice(policy, policy + 1))[:, 0],
            limit,
        )
        return [Span(window.part, window.start + start, window.start + end) for start, end in found]

    def _collect(self, parts: Sequence[TextPart]) -> Request:
        request = Request(len(self.policies), self._facts)
        together = unread(parts)
        texts: set[str] = set()
        for number, part in enumerate(parts):
            classify = part.role not in NAMES_ONLY
            if number not in together:
                evidence = self._evidence(part.text)
                request.add(number, evidence, classify=classify)
                if part.text not in texts and (classify or self._facts.any()):
                    request.size += evidence.size
            elif part.text not in texts:
                request.size += text_size(1)
            texts.add(part.text)
        for joint in joints(parts, together):
            request.add_joint(joint, self._joint_evidence(joint))
        return request

    def _evidence(self, text: str) -> Evidence:
        digest = self._memory.digest(text)
        known = self._memory.get(digest)
        if known is None:
            known = self._models.weigh(self.shared.reader.read(text), self._floors)
            self._memory.keep(digest, known)
        return known

    def _joint_evidence(self, joint: Joint) -> Evidence:
        digest = self._memory.digest(joint.text, f"{[p[0] for p in joint.pieces]} {joint.alone} {joint.glued}")
        known = self._memory.get(digest)
        if known is None:
            reading = self.shared.reader.read(joint.text)
            new = joint.new(reading.starts, reading.ends)
            known = self._models.weigh(reading, self._floors, np.zeros_like(new) if joint.glued else new)
            self._memory.keep(digest, known)
        return known

    def _level(self, request: Request) -> int:
        """Which of `SIZES` a request is compared with."""
        return min(int(np.searchsorted(SIZES, request.size)), len(SIZES) - 1)

    def _verdicts(self, request: Request, chosen: Iterable[int]) -> list[Verdict]:
        level = self._level(request)
        scores = request.best.copy()
        decisive: dict[int, set[tuple[int, Found]]] = {}
        for policy, names in request.names.items():
            scores[policy] += self._models.boost[policy]
            decisive[policy] = self._models.deciding(policy, names, request.spans)
            if decisive[policy]:
                scores[policy] = np.inf
        p_values = self._calibrations[level].p_values(scores).tolist()
        shown = np.minimum(1 / (1 + np.exp(CENTRE - np.clip(scores.astype(np.float64), -50, 50))), 1 - 1e-6)
        shown = np.where(scores == np.inf, 1.0, np.where(scores == -np.inf, 0.0, shown)).tolist()
        flagged = (scores >= self._limits[level]).tolist()
        return [
            self._verdict(i, request, decisive.get(i, set()), shown[i], p_values[i])
            if flagged[i] or i in decisive
            else Verdict(self.policies[i], False, shown[i], p_values[i], "none", (), (), request.truncated)
            for i in chosen
        ]

    def _too_ordinary(self, alpha: float) -> str:
        counts = self.shared.corpus.deciding(self._models)
        shown = ", ".join(f"{self.policies[p]} ({n})" for p, n in sorted(counts.items(), key=lambda item: -item[1]))
        return (
            f"names alone decide more harmless texts than alpha {alpha:g} allows, which would switch off the "
            f"classifiers of all policies. Policies and the number of such texts among "
            f"{len(self.shared.corpus.texts)}: {shown}. Make aliases that are ordinary words related names, drop "
            "related names that are ordinary words, and compile these policies again; or raise alpha"
        )

    def _verdict(
        self, policy: int, request: Request, decisive: set[tuple[int, Found]], score: float, p_value: float
    ) -> Verdict:
        """A verdict on a request that holds names of the policy or is flagged."""
        names = request.names.get(policy, [])
        limit = self._limits[self._level(request), policy]
        windows = request.above(policy, limit - self._models.boost[policy] if names else limit)
        sentences = merged(span for number, name in decisive for span in request.spans(number, *name.sentence))
        # The harmless half of a composite question survives: what the names decide ends with their sentences.
        windows = [*sentences] + [w for w in windows if not any(_overlap(w, s) for s in sentences)]
        flagged = bool(decisive) or bool(windows)
        return Verdict(
            policy=self.policies[policy],
            flagged=flagged,
            score=score,
            p_value=p_value,
            source="alias" if decisive else "classifier" if flagged else "none",
            entities=merged(s for number, name in names for s in request.spans(number, name.start, name.end)),
            windows=merged(windows),
            truncated=request.truncated,
        )


def _without(parts: Sequence[TextPart], gone: Iterable[Span]) -> list[TextPart]:
    """The parts with white space in the place of spans."""
    kept = list(parts)
    for number, spans in groupby(merged(gone), key=lambda span: span.part):
        text, at = parts[number].text, 0
        pieces: list[str] = []
        for span in spans:
            pieces += (text[at : span.start], " " * (span.end - span.start))
            at = span.end
        kept[number] = replace(parts[number], text="".join((*pieces, text[at:])))
    return kept


def _overlap(one: Span, other: Span) -> bool:
    return one.part == other.part and one.start < other.end and other.start < one.end
