"""The guard of all active policies: the texts of a request in, one verdict per policy out."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guards.aliases import AliasIndex
from guards.calibrate import Calibration, Corpus
from guards.encoder import Encoder, load_encoder
from guards.evidence import Evidence, Found, Models, indexed
from guards.part import FittedPart, PartError
from guards.reading import Reader
from guards.request import Request, merged
from guards.turns import joints
from guards.verdict import Span, TextPart, Verdict

CENTRE = 4.0
"""A verdict's score is 1/2 so many standard deviations above the worst window of the mean benign text."""
REMEMBERED = 4096
"""Texts whose evidence is kept, so that a conversation is charged for its new text only."""
NAMES_ONLY = frozenset({"tool_definition"})
"""Roles whose texts the linear models do not read."""


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
        self.calibration = Calibration(shared.corpus.maxima(self._models), alpha)
        cutoff = np.nextafter(np.float32(self.calibration.cutoff), np.float32(np.inf))
        self._limits = np.maximum(cutoff, np.array([p.threshold for p in ordered], np.float32))
        self._floors = self._limits - self._models.boost
        self._position = {policy: i for i, policy in enumerate(self.policies)}
        self._key = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, Evidence] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def from_parts(cls, parts: Mapping[str, bytes], *, alpha: float, shared: Shared | None = None) -> Guard:
        """Build the guard of all active policies from the parts of their bundles.

        Args:
            parts: opaque policy number -> `FittedPart.to_bytes()`.
            alpha: rate at which harmless requests may be flagged by any policy at all.
            shared: what an earlier guard had (`guard.shared`); saves reading the calibration texts again.

        Raises:
            PartError: a part that cannot be used.
            ValueError: alpha that cannot be reached with the calibration texts.
        """
        fitted = {policy: FittedPart.from_bytes(data) for policy, data in parts.items()}
        return cls(fitted, alpha=alpha, shared=shared or Shared.load())

    def scan(self, parts: Sequence[TextPart], policies: Collection[str] | None = None) -> list[Verdict]:
        """Score the texts of one request; one verdict per policy, in the order of the policy numbers.

        Raises `KeyError` for a policy that this guard does not have.
        """
        chosen = range(len(self.policies)) if policies is None else sorted(self._position[p] for p in set(policies))
        request = Request(len(self.policies))
        for number, part in enumerate(parts):
            request.add(number, self._evidence(part.text), classify=part.role not in NAMES_ONLY)
        for joint in joints(parts):
            request.add_joint(joint, self._evidence(joint.text))
        return self._verdicts(request, chosen)

    def _evidence(self, text: str) -> Evidence:
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
        with self._lock:
            known = self._seen.get(key)
            if known is not None:
                self._seen.move_to_end(key)
                return known
        evidence = self._models.weigh(self.shared.reader.read(text), self._floors)
        with self._lock:
            self._seen[key] = evidence
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return evidence

    def _verdicts(self, request: Request, chosen: Iterable[int]) -> list[Verdict]:
        scores = request.best.copy()
        decisive: dict[int, set[tuple[int, Found]]] = {}
        for policy, names in request.names.items():
            scores[policy] += self._models.boost[policy]
            decisive[policy] = self._models.deciding(policy, names)
            if decisive[policy]:
                scores[policy] = np.inf
        p_values = self.calibration.p_values(scores).tolist()
        shown = np.minimum(1 / (1 + np.exp(CENTRE - np.clip(scores.astype(np.float64), -50, 50))), 1 - 1e-6)
        shown = np.where(scores == np.inf, 1.0, np.where(scores == -np.inf, 0.0, shown)).tolist()
        flagged = (scores >= self._limits).tolist()
        return [
            self._verdict(i, request, decisive.get(i, set()), shown[i], p_values[i])
            if flagged[i] or i in decisive
            else Verdict(self.policies[i], False, shown[i], p_values[i], "none", (), (), request.truncated)
            for i in chosen
        ]

    def _verdict(
        self, policy: int, request: Request, decisive: set[tuple[int, Found]], score: float, p_value: float
    ) -> Verdict:
        """A verdict on a request that holds names of the policy or is flagged."""
        names = request.names.get(policy, [])
        limit = self._floors[policy] if names else self._limits[policy]
        windows = [span for value, spans in request.hits.get(policy, ()) if value >= limit for span in spans]
        sentences = [span for number, name in decisive for span in request.spans(number, *name.sentence)]
        # The harmless half of a composite question survives: what the names decide ends with their sentences.
        windows = sentences + [w for w in windows if not any(_overlap(w, s) for s in sentences)]
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


def _overlap(one: Span, other: Span) -> bool:
    return one.part == other.part and one.start < other.end and other.start < one.end
