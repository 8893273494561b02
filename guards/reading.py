"""One text, read once for all policies: its views for name matching and its windows as vectors."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from guards.encoder import Encoder, Floats
from guards.foreign import Foreign, Listener
from guards.letters import APART, apart, leet
from guards.normalize import AliasView, Folded, Ints, Normalizer
from guards.views import DEPTH, Decoded, decoded, hidden
from guards.windows import sentence_ends, windows

LONGEST = 4_000_000
"""Characters of one text that are read; a longer one is reported as truncated."""
_LETTERS_APART = re.compile(r"(?<![^ ])[^ ](?: [^ ]){3}(?![^ ])")
"""What letters set apart look like."""
_MIXED = re.compile(r"\b(?:[a-z]+[013457]+|[013457]+[a-z])\w*")
_WRITTEN, _SHARE = 2, 0.5
"""Words of letters and digits, and their share of those near to them, from which on a text is read as if digits were
letters: some words of any manual page look like that."""
MOST_VIEWS = 40
"""Views of one text; a text that hides more codes inside each other is reported as truncated."""


@dataclass(frozen=True, slots=True)
class NameView:
    """What names are searched in.

    Attributes:
        starts, ends: the original characters behind every character of the view.
        loose: names may begin and end inside of words.
        text: what the view is of, with capitals; None where its capitals say nothing.
    """

    view: AliasView
    words: list[str]
    starts: Ints
    ends: Ints
    loose: bool
    text: str | None


@dataclass(frozen=True, slots=True)
class HeardView:
    """A text, or a decoded one, that holds letters of other scripts: what transliterated names are searched in."""

    foreign: Foreign
    text: str
    source: Decoded | None

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Characters of the original behind the characters `[start, end)` of the text."""
        if self.source is None:
            return start, end
        a, b = _through(self.source, np.array([start]), np.array([end]))
        return int(a[0]), int(b[0])


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as the guards see it; all positions are characters of the original.

    Attributes:
        views: texts to match names in.
        heard: texts to match transliterated names in.
        vectors: unit vectors of the windows, `[windows, dim]`.
        starts, ends: characters of each window.
        sentences: sorted ends of the sentences of the text; the last one is its length.
        truncated: the text was too long, or too deeply coded, to be read in full.
        tokens: length of the text and of what is coded in it.
    """

    views: tuple[NameView, ...]
    heard: tuple[HeardView, ...]
    vectors: Floats
    starts: Ints
    ends: Ints
    sentences: Ints
    truncated: bool
    tokens: int


class _TooManyViewsError(Exception):
    """A text has more codes inside each other than are undone."""


class Reader:
    """Reads texts. Thread-safe."""

    def __init__(self, encoder: Encoder, normalizer: Normalizer | None = None) -> None:
        self.encoder = encoder
        self.normalizer = normalizer or Normalizer()
        self._listener = Listener()

    def read(self, text: str) -> Reading:
        """Read a text; any string is accepted."""
        kept = text[:LONGEST]
        views: list[NameView] = []
        heard: list[HeardView] = []
        ranges: list[tuple[Floats, Ints, Ints, int]] = []
        try:
            sentences = self._read(kept, None, DEPTH, views, heard, ranges)
            complete = len(kept) == len(text)
        except _TooManyViewsError:
            sentences, complete = np.array([len(text)], np.int64), False
        return Reading(
            tuple(views),
            tuple(heard),
            np.concatenate([v for v, _, _, _ in ranges]) if ranges else np.zeros((0, self.encoder.dim), np.float32),
            np.concatenate([s for _, s, _, _ in ranges]) if ranges else np.zeros(0, np.int64),
            np.concatenate([e for _, _, e, _ in ranges]) if ranges else np.zeros(0, np.int64),
            sentences,
            not complete,
            sum(tokens for _, _, _, tokens in ranges),
        )

    def _read(
        self,
        text: str,
        source: Decoded | None,
        depth: int,
        views: list[NameView],
        heard: list[HeardView],
        ranges: list[tuple[Floats, Ints, Ints, int]],
    ) -> Ints:
        """Add the views and windows of a text, or of a decoded one; return the ends of its sentences."""
        folded = self.normalizer.fold(text)
        words, first, last = folded.words()
        if depth:
            for inner in hidden(text):
                self._inner(inner, source, depth, views, heard, ranges)
        if not words:
            return np.array([len(text)], np.int64)
        more = self._name_views(text, folded, first, last, source, views)
        foreign = self._listener.hear(text)
        if foreign is not None:
            heard.append(HeardView(foreign, foreign.text, source))
        sentences = self._windows(folded, (words, first, last), source, ranges)
        if source is None:
            sentences = np.append(sentences, len(text))
        for written in more:
            if written.text.strip():
                self._windows(written, written.words(), source, ranges)
        if depth:
            for inner in decoded(text, folded, words, first, last):
                self._inner(inner, source, depth, views, heard, ranges)
        return sentences

    def _inner(
        self,
        inner: Decoded,
        source: Decoded | None,
        depth: int,
        views: list[NameView],
        heard: list[HeardView],
        ranges: list[tuple[Floats, Ints, Ints, int]],
    ) -> None:
        """Add the views and windows of what is behind a code."""
        if len(views) >= MOST_VIEWS:
            raise _TooManyViewsError
        if source is not None:
            begin, end = _through(source, inner.starts, inner.ends)
            inner = Decoded(inner.text, begin, end, inner.nested)
        self._read(inner.text, inner, depth - 1 if inner.nested else 0, views, heard, ranges)

    def _windows(
        self,
        folded: Folded,
        words: tuple[list[str], Ints, Ints],
        source: Decoded | None,
        ranges: list[tuple[Floats, Ints, Ints, int]],
    ) -> Ints:
        """Add the windows of words of a folded text; return the ends of its sentences but the last."""
        spelt, first, last = words
        if not self.encoder.dim:  # the views alone are wanted
            return folded.original(last[:0])
        encoded = self.encoder.read(spelt)
        done = sentence_ends(folded.codes, first, last)
        low, high = windows(encoded.tokens, done)
        starts, ends = folded.original(first)[low], folded.original(last - 1)[high - 1] + 1
        if source is not None:
            starts, ends = _through(source, starts, ends)
        ranges.append((encoded.vectors(low, high), starts, ends, int(encoded.tokens.sum())))
        return folded.original(last[done][:-1])

    def _name_views(
        self, text: str, folded: Folded, first: Ints, last: Ints, source: Decoded | None, views: list[NameView]
    ) -> list[Folded]:
        """Add the views of a text in which names are searched; return those that are to be read as texts as well."""
        view = self.normalizer.view(folded)
        views.append(_named(view, source, loose=False, text=text if source is None else None))
        more = []
        spaced = _unspaced(view)
        if spaced is not None:
            views.append(_named(spaced, source, loose=True))
            together = apart(folded)
            if together is not None:
                views.append(_named(self.normalizer.view(together), source, loose=False))
                more.append(together)
        plain = list(leet(folded, first, last))
        views.extend(_named(self.normalizer.view(p), source, loose=False) for p in plain)
        if plain:
            mixed = len(_MIXED.findall(folded.text))
            if mixed >= max(_WRITTEN, _SHARE * len(plain[0].text.split())):
                more.append(plain[0])
        return more


def _named(view: AliasView, source: Decoded | None, *, loose: bool, text: str | None = None) -> NameView:
    starts, ends = view.origin, view.origin + 1
    if source is not None:
        starts, ends = source.starts[view.origin], source.ends[view.origin]
    return NameView(view, view.text.split(), starts, ends, loose, text)


def _through(source: Decoded, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Positions of a decoded text as positions of the original; the order of both ends may be reversed."""
    a, b, c, d = source.starts[starts], source.starts[ends - 1], source.ends[starts], source.ends[ends - 1]
    return np.minimum(a, b), np.maximum(c, d)


def _unspaced(view: AliasView) -> AliasView | None:
    """Runs of single letters written together, or None where there is none: `h a r r y` -> `harry`."""
    if _LETTERS_APART.search(view.text) is None:
        return None
    size = len(view.codes)
    spaces = np.flatnonzero(np.append(view.codes, 32) == 32)
    begins = np.concatenate([[0], spaces + 1])[: len(spaces)]
    single = spaces - begins == 1
    edges = np.flatnonzero(np.diff(np.concatenate([[0], single.view(np.int8), [0]])))
    low, high = edges[::2], edges[1::2]
    long = high - low >= APART
    keep = np.ones(size, bool)
    for a, b in zip(begins[low[long]].tolist(), spaces[high[long] - 1].tolist(), strict=True):
        keep[a + 1 : b - 1 : 2] = False
    return view.take(np.flatnonzero(keep))
