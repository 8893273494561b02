"""The guard of all active policies: the texts of a request in, one verdict per policy out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guards.aliases import AliasIndex
from guards.beside import beside, in_document, ordinary
from guards.calibrate import Corpus
from guards.collector import Collector
from guards.conformal import TIE, Calibration, Stratum
from guards.corpus_prose import Prose
from guards.described import Flagging, described
from guards.encoder import Encoder, Floats, load_encoder
from guards.english import english_words
from guards.evidence import Found, Models, indexed
from guards.grey import SHARE, Grey, Seen
from guards.limits import Harmless, Limits, Sizes
from guards.nameless import Nameless
from guards.part import FittedPart, PartError
from guards.reading import Reader
from guards.request import Request, meets, merged
from guards.samples import Sample, too_few
from guards.second import SecondModels
from guards.turns import rows
from guards.verdict import Span, TextPart, Verdict, joined
from guards.whole import Whole

CENTRE = 4.0
"""A verdict's score is 1/2 so many standard deviations above the worst window of the mean benign text."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What successive guards share: the reader and the calibration texts, read once.

    Without `prose` everyday requests alone are calibrated on.
    """

    reader: Reader
    corpus: Corpus
    prose: Prose | None = None
    whole: Whole | None = None

    @classmethod
    def load(cls, encoder: Encoder | None = None, second: Encoder | None = None) -> Shared:
        """Load the encoder (WordLlama unless another is given) and the calibration texts; takes seconds.

        With a `second` one, policies that were compiled with it get a second look, see `guards.grey`.

        The first time on a machine it takes half a minute, see `guards.corpus_cache`.
        """
        reader = Reader(encoder or load_encoder("wordllama"))
        whole = Whole(second, reader.normalizer) if second is not None else None
        return cls(reader, Corpus.read(reader), Prose.load(reader), whole)


class Guard:
    """Scores requests against all active policies. Thread-safe; never raises for any text."""

    def __init__(
        self, parts: Mapping[str, FittedPart], *, alpha: float, shared: Shared, samples: Sequence[Sample] = ()
    ) -> None:
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
        self._words = encoder.vocabulary
        index = AliasIndex(indexed(ordered), shared.reader.normalizer, self._words, english_words())
        self._models = Models(ordered, index, encoder.dim)
        self._facts = np.array(self._models.facts, bool)
        # what a name adds; a policy about facts has a threshold of its own there instead, see `guards.beside`
        self._boost = np.where(self._facts, np.float32(0), self._models.boost)
        self._position = {policy: i for i, policy in enumerate(self.policies)}
        second = SecondModels.of(ordered, shared.whole)
        first = alpha * (1 - SHARE) if second else alpha
        harmless = Harmless.of(shared.corpus, shared.prose, self._models, shared.reader.normalizer)
        self._limits = Limits(self._models, self._boost, harmless, first)
        self.calibration: Calibration = self._limits.strata[0].calibrations[0]
        """Of a request of one text, among everyday requests."""
        if ordered and not np.isfinite(self.calibration.cutoff):
            raise PartError(self._too_ordinary(alpha))
        self._grey = Grey(second, self._limits, self._boost, harmless, alpha) if second else None
        if samples:
            self._sample(samples, first)
        self._documents, self._by_chance = self._limits.documents(), self._limits.by_chance()
        lowest = self._limits.lowest()
        if self._grey is not None:
            lowest = np.minimum(lowest, self._grey.floors())
        floors = np.where(self._facts, np.minimum(lowest, self._models.threshold), lowest - self._boost)
        self._texts = Collector(self._models, shared.reader, floors)

    @classmethod
    def from_parts(
        cls,
        parts: Mapping[str, bytes],
        *,
        alpha: float,
        shared: Shared | None = None,
        samples: Sequence[Sample] = (),
    ) -> Guard:
        """Build the guard of all active policies from the parts of their bundles.

        Args:
            parts: opaque policy number -> `FittedPart.to_bytes()`.
            alpha: rate at which harmless requests may be flagged by any policy at all.
            shared: what an earlier guard had (`guard.shared`); saves reading the calibration texts again.
            samples: harmless requests of the operator's own traffic, see `guards.samples`.

        Raises:
            PartError: a part that cannot be used, or names that are too ordinary for alpha.
            ValueError: alpha that cannot be reached with the calibration texts, or with the samples.
        """
        fitted = {policy: FittedPart.from_bytes(data) for policy, data in parts.items()}
        return cls(fitted, alpha=alpha, shared=shared or Shared.load(), samples=samples)

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
        return dict(
            zip(self.policies, self._limits.least(_sizes(self._texts.collect(parts), parts)).tolist(), strict=True)
        )

    def nameless(self, parts: Sequence[TextPart]) -> Nameless:
        """What policies about facts weigh where a request names one of their subjects."""
        return Nameless.of(parts, self._texts.collect(parts), self._models, self.shared.reader)

    def _scan(self, parts: Sequence[TextPart], chosen: Sequence[int]) -> list[Verdict]:
        request = self._texts.weighed(parts)
        sizes = _sizes(request, parts)
        limits = self._limits.least(sizes)
        verdicts = self._verdicts(parts, request, sizes, limits, chosen)
        flagging = [
            Flagging(policy, verdict.entities, verdict.windows, float(limits[policy]))
            for policy, verdict in zip(chosen, verdicts, strict=True)
            if verdict.flagged and verdict.source != "second"
        ]
        words = described(parts, flagging, self._texts.collect, self._models, self.shared.reader)
        told = {each.policy: spans for each, spans in zip(flagging, words, strict=True)}
        return [
            verdict._replace(described=told.get(policy, verdict.windows)) if verdict.flagged else verdict
            for policy, verdict in zip(chosen, verdicts, strict=True)
        ]

    def _sample(self, samples: Sequence[Sample], alpha: float) -> None:
        """Let the operator's own traffic count, without requests that names decide: they are about a subject."""
        floors = self._grey.floors() - self._boost if self._grey is not None else None
        texts, statistics, kept = Collector(self._models, self.shared.reader, floors), [], []
        for sample in samples:
            request = texts.weighed(sample)
            if not any(self._models.deciding(p, names, request.spans) for p, names in request.names.items()):
                named = np.zeros(len(self.policies), bool)
                named[list(request.names)] = True
                scores = self._limits.tails.scaled(request.best + named * self._boost)
                alone = named & self._facts & (request.best >= self._models.threshold)
                statistics.append(np.where(alone, np.inf, scores).max(initial=-np.inf))
                kept.append((request, sample))
        if (len(statistics) + 1) * alpha < 1:
            share = SHARE if self._grey is not None else 0.0
            raise ValueError(too_few(len(samples), len(statistics), alpha / (1 - share), share))
        stratum = Stratum((1,), [np.array(statistics, np.float32)], alpha)
        self._limits.add(stratum)
        if self._grey is not None:
            self._grey.add(stratum, kept)

    def _verdicts(
        self,
        parts: Sequence[TextPart],
        request: Request,
        sizes: Sizes,
        limits: Floats,
        chosen: Sequence[int],
    ) -> list[Verdict]:
        scores = request.best.copy()
        decisive: dict[int, set[tuple[int, Found]]] = {}
        windows: dict[int, list[Span]] = {}
        for policy, names in request.names.items():
            limit = float(limits[policy])
            if self._facts[policy]:
                least = float(self._models.threshold[policy])
                more = float(self._documents[policy]) - least
                known = any(name.kind == "alias" for _, name in names)
                some = 0.0 if known else float(self._by_chance[policy]) - least
                spelled = [list(request.spans(number, name.start, name.end)) for number, name in names]
                near = beside(parts, [s for found in spelled if not ordinary(parts, found, self._words) for s in found])
                told = [
                    (score - (more if in_document(parts, found) else some), found)
                    for score, found in request.hits.get(policy, ())
                    if near(found)
                ]
                best = max((score for score, _ in told), default=min(scores[policy], least - TIE))
                scores[policy] = max(scores[policy], best - least + limit)
                windows[policy] = [s for score, found in told if score >= least for s in found]
            else:
                scores[policy] += self._boost[policy]
                windows[policy] = request.above(policy, limit - float(self._boost[policy]))
            decisive[policy] = self._models.deciding(policy, names, request.spans)
            if decisive[policy]:
                scores[policy] = np.inf
        p_values = self._limits.p_values(scores, sizes).tolist()
        shown = np.minimum(1 / (1 + np.exp(CENTRE - np.clip(scores.astype(np.float64), -50, 50))), 1 - 1e-6)
        shown = np.where(scores == np.inf, 1.0, np.where(scores == -np.inf, 0.0, shown)).tolist()
        flagged = (scores >= limits).tolist()
        verdicts = [
            self._verdict(i, request, decisive.get(i, set()), windows.get(i), float(limits[i]), shown[i], p_values[i])
            if flagged[i] or i in decisive
            else Verdict(self.policies[i], False, shown[i], p_values[i], "none", (), (), request.truncated)
            for i in chosen
        ]
        if self._grey is None:
            return verdicts
        open_ = [i for i, verdict in zip(chosen, verdicts, strict=True) if not verdict.flagged]
        seen = self._grey.look(request, parts, sizes, open_)
        return [_seen(verdict, seen.get(i)) for i, verdict in zip(chosen, verdicts, strict=True)]

    @property
    def looks_twice(self) -> tuple[str, ...]:
        """The policies that get a second look."""
        present = self._grey.present if self._grey is not None else ()
        return tuple(policy for policy, yes in zip(self.policies, present, strict=False) if yes)

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
        self,
        policy: int,
        request: Request,
        decisive: set[tuple[int, Found]],
        beside_names: list[Span] | None,
        limit: float,
        score: float,
        p_value: float,
    ) -> Verdict:
        """A verdict on a request that holds names of the policy or is flagged."""
        names = request.names.get(policy, [])
        windows = [*(beside_names or ()), *request.above(policy, limit)]
        sentences = merged(span for number, name in decisive for span in request.spans(number, *name.sentence))
        # The harmless half of a composite question survives: what the names decide ends with their sentences.
        windows = [*sentences] + [w for w in windows if not meets(w, sentences)]
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


def _seen(verdict: Verdict, seen: Seen | None) -> Verdict:
    """A verdict after the second look, which can only add one."""
    if seen is None or not seen.flagged:
        return verdict._replace(second=seen is not None)
    return verdict._replace(flagged=True, p_value=seen.p_value, source="second", windows=seen.texts, second=True)


def _sizes(request: Request, parts: Sequence[TextPart]) -> Sizes:
    """What a request counts in each stratum: texts, bytes of different texts, and one request."""
    texts = {part.text for part in parts}
    return request.size, sum(len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts), 1
