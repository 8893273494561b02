"""Running text of several lengths, read once and kept: the second stratum of the calibration.

The paragraphs of a document follow each other on one fixed circle, so that a run of neighbours is a text of any length,
with the windows that such a text has; those over the borders of its paragraphs are included.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from guards import windows
from guards.attributes import raised
from guards.benign import half_of
from guards.classifier import stack
from guards.corpus_cache import Arrays, kept
from guards.corpus_documents import documents, versions
from guards.encoder import Floats
from guards.evidence import Models
from guards.normalize import Ints, Normalizer
from guards.reading import NameView, Reader, Reading
from guards.scored import Scored, best_scores
from guards.turns import joints
from guards.verdict import TextPart

log = logging.getLogger("lethe.guards")

Halves = npt.NDArray[np.float16]

LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Bytes of the texts that a request of at most so many is compared with."""
RUNS = 6000
PAGE = 64
"""Paragraphs that are read as one text."""
_GAP = "\n\n"
_CIRCLE = 20240607
READ_BY = (
    "classifier",
    "encoder",
    "foreign",
    "letters",
    "normalize",
    "reading",
    "sentences",
    "sounds",
    "turns",
    "verdict",
    "views",
    "windows",
)
"""Modules on which the vectors may depend: `reading`, `turns`, `classifier`, and what these import of this package."""


@dataclass(frozen=True, slots=True)
class Prose:
    """Paragraphs in the order of the circle.

    Attributes:
        texts: the paragraphs.
        lengths: bytes of each in UTF-8.
        vectors, owners: their windows `[windows, dim]` and the paragraph of each.
        borders, before: windows over the border between a paragraph and the next one, and the first paragraph of each.
    """

    texts: tuple[str, ...]
    lengths: Ints
    vectors: Halves
    owners: Ints
    borders: Halves
    before: Ints

    @classmethod
    def load(cls, reader: Reader) -> Prose:
        """The calibration half of what every installation has; from the cache, or read in half a minute."""
        texts = tuple(bytes(kept("texts", versions(), _texts)["texts"]).decode("utf-8", "surrogatepass").split("\0"))
        made_from = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass"))
        for module in READ_BY:
            made_from.update(Path(__file__).with_name(f"{module}.py").read_bytes())
        made_from.update(f"{inspect.getsource(_vectors)}{inspect.getsource(border)}".encode())
        made_from.update(reader.encoder.fingerprint.encode())
        return cls._of(texts, kept("vectors", made_from.hexdigest(), lambda: _vectors(reader, texts)))

    @classmethod
    def read(cls, reader: Reader, texts: Sequence[str]) -> Prose:
        """Read other texts, neighbours first."""
        return cls._of(tuple(texts), _vectors(reader, texts))

    @classmethod
    def _of(cls, texts: tuple[str, ...], read: Arrays) -> Prose:
        lengths = np.array([len(text.encode("utf-8", "surrogatepass")) for text in texts], np.int64)
        return cls(texts, lengths, read["vectors"], read["owners"], read["borders"], read["before"])

    def pages(self, normalizer: Normalizer) -> Iterator[tuple[int, Ints, Reading]]:
        """The paragraphs as long texts in which single words are looked up; no vectors, and no codes undone.

        Of each: the number of its first paragraph, where its paragraphs begin, and the reading.
        """
        for low in range(0, len(self.texts), PAGE):
            page = self.texts[low : low + PAGE]
            starts = np.cumsum([0, *(len(text) + len(_GAP) for text in page[:-1])])
            yield low, starts, _plain(_GAP.join(page), normalizer)

    def scored(self, models: Models, normalizer: Normalizer) -> Scored:
        """Scores of all paragraphs. Names count where they are spelled as the policy spells them."""
        shape = len(self.texts), len(models.bias)
        named, described, across = np.zeros(shape, bool), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        decided = np.zeros(shape[0], bool)
        for low, starts, page in self.pages(normalizer):

            def place(at: Ints, low: int = low, starts: Ints = starts) -> Ints:
                return low - 1 + np.searchsorted(starts, at, "right")

            told = models.attributes.find(page, np.arange(len(page.starts)))
            first, last = place(page.starts[told.windows]), place(page.ends[told.windows] - 1)
            for most, kind in ((described, first == last), (across, first < last)):
                np.maximum.at(most, (first[kind], told.policies[kind]), told.scores[kind])
            (view,) = page.views
            for match in models.index.find(view.view, []):
                text = place(view.starts[[match.start]])[0]
                named[text, match.name.policy] = True
                decided[text] |= match.name.kind == "alias" and not models.facts[match.name.policy]
        best = raised(best_scores(models, self.vectors, self.owners, shape[0]), described)
        border = raised(best_scores(models, self.borders, self.before, shape[0]), across)
        return Scored(best, border, named, decided)

    def statistics(self, scored: Scored, boost: Floats, length: int) -> Floats:
        """Scores of runs of paragraphs of at least `length` bytes and at most twice as many, `[runs, policies]`.

        What names alone decide is left out, see `guards.calibrate`. At most `RUNS` runs, spread evenly; long ones
        overlap, so that for them the rate holds approximately.
        """
        ends = np.cumsum(self.lengths)
        begins = ends - self.lengths
        last = np.searchsorted(ends, begins + length)  # the paragraph with which a run is long enough
        fits = np.flatnonzero(last < len(ends))
        fits = fits[ends[last[fits]] - begins[fits] <= 2 * length]
        first = fits[np.unique(np.linspace(0, len(fits) - 1, min(len(fits), RUNS)).astype(np.int64))]
        last = last[first]
        gone = scored.decided[:, None]
        best = _largest(np.where(gone, -np.inf, scored.boosted(boost)), first, last + 1)
        over = np.where(gone | np.roll(gone, -1, 0), -np.inf, scored.border)
        across = np.where((last > first)[:, None], _largest(over, first, np.maximum(last, first + 1)), -np.inf)
        return np.asarray(np.maximum(best, across), np.float32)


def _largest(scores: Floats, first: Ints, last: Ints) -> Floats:
    """Maxima over the rows `[first, last)` of each run."""
    scores = np.concatenate([scores, scores[:1]])  # so that a run may end with the last row
    return np.maximum.reduceat(scores, np.stack([first, last], 1).ravel(), axis=0)[::2]


def _plain(text: str, normalizer: Normalizer) -> Reading:
    """The words of a text and its windows, of which every word counts as a token."""
    folded = normalizer.fold(text)
    view = normalizer.view(folded)
    words, first, last = folded.words()
    low, high = windows.windows(np.ones(len(words), np.int64), windows.sentence_ends(folded.codes, first, last))
    starts, ends = folded.original(first)[low], folded.original(last - 1)[high - 1] + 1
    views = (NameView(view, view.text.split(), view.origin, view.origin + 1, loose=False, text=text),)
    nothing = np.zeros((len(low), 0), np.float32)
    return Reading(views, (), nothing, starts, ends, np.array([len(text)]), truncated=False, tokens=len(words))


def border(reader: Reader, one: str, other: str) -> Floats:
    """Windows over the border between two texts."""
    found = [np.zeros((0, reader.encoder.dim), np.float32)]
    for joint in joints([TextPart("/0", "user", one), TextPart("/1", "user", other)]):
        read = reader.read(joint.text)
        found.append(read.vectors[joint.new(read.starts, read.ends)])
    return np.concatenate(found)


def _texts() -> Arrays:
    log.info("collecting harmless running text, once for these versions of Python and of the libraries")
    found = list(documents())
    random.Random(_CIRCLE).shuffle(found)
    calibration = dict.fromkeys(p for d in found for p in d.paragraphs if half_of(p) == "calibration" and "\0" not in p)
    return {"texts": np.frombuffer("\0".join(calibration).encode("utf-8", "surrogatepass"), np.uint8)}


def _vectors(reader: Reader, texts: Sequence[str]) -> Arrays:
    """In half precision: half the place, and less than `guards.conformal.TIE` away."""
    log.info("reading %d harmless paragraphs, once for this version", len(texts))
    vectors, owners = stack([reader.read(text).vectors for text in texts], reader.encoder.dim)
    pairs = zip(texts, [*texts[1:], *texts[:1]], strict=True)
    borders, before = stack([border(reader, *pair) for pair in pairs], reader.encoder.dim)
    halves = {"vectors": vectors.astype(np.float16), "borders": borders.astype(np.float16)}
    return {**halves, "owners": owners, "before": before}
