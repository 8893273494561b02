"""Tails, strata, and what stands beside a name."""

from __future__ import annotations

import numpy as np
import pytest

from guards.beside import END, NEAR, WHOLE, beside, in_document, ordinary
from guards.conformal import Stratum, Tails
from guards.verdict import Span, TextPart


def test_tails_make_policies_alike() -> None:
    """Of two policies the second one's scores are five times as wide: unscaled it takes nearly all of the errors."""
    draw = np.random.default_rng(0)
    scores = (draw.exponential(size=(20_000, 2)) * [1.0, 5.0]).astype(np.float32)
    known, fresh = scores[:10_000], scores[10_000:]
    tails = Tails.of(known)
    stratum = Stratum((1,), [tails.scaled(known).max(1)], 0.01)
    flagged = tails.scaled(fresh) > stratum.cutoff(1)
    assert 0.005 < flagged.any(1).mean() < 0.015
    assert 0.5 < flagged[:, 0].sum() / flagged[:, 1].sum() < 2
    plain = Stratum((1,), [known.max(1)], 0.01)
    assert (fresh[:, 0] > plain.cutoff(1)).sum() < 0.05 * (fresh[:, 1] > plain.cutoff(1)).sum()
    assert tails.scaled(tails.scores(3.0)[None]).ravel().tolist() == pytest.approx([3.0, 3.0], abs=1e-5)


def test_tails_of_nearly_constant_scores() -> None:
    tails = Tails.of(np.zeros((50, 1), np.float32))
    assert np.isfinite(tails.scaled(np.ones((1, 1), np.float32))).all()


def test_cutoffs_never_fall_with_size() -> None:
    levels = [np.linspace(0, top, 99, dtype=np.float32) for top in (5, 3, 9)]
    stratum = Stratum((128, 256, 512), levels, 0.01)
    assert [stratum.cutoff(size) for size in (0, 128, 129, 256, 300, 512, 10**9)] == [5, 5, 5, 5, 9, 9, 9]
    assert stratum.p_values(np.array([9.0], np.float32), 600).tolist() == [0.02]


def test_beside_a_name() -> None:
    long = TextPart("/messages/0/content", "user", "x" * 4000)
    turn = TextPart("/messages/1/content", "user", "y" * WHOLE)
    near = beside([long, turn], [Span(0, 1000, 1010)])
    assert near([Span(0, 1010 + NEAR - 1, 1400)])
    assert near([Span(0, 500, 1000 - NEAR + 1)])
    assert not near([Span(0, 1010 + NEAR, 1400)])
    assert not near([Span(0, 0, 1000 - NEAR)])
    assert near([Span(0, 3000, 4000 - END + 1)])  # the question below a document
    assert not near([Span(0, 3000, 4000 - END)])
    assert near([Span(1, 0, 5)])  # a turn of a conversation
    assert near([Span(0, 0, 9), Span(1, 0, 5)])
    assert in_document([long, turn], [Span(1, 0, 5), Span(0, 0, 9)])
    assert not in_document([long, turn], [Span(1, 0, 5), Span(0, 3990, 4000)])
    assert not beside([turn], [])([Span(0, 0, 5)])


def test_names_that_are_ordinary_words() -> None:
    words = frozenset({"green", "twist"})

    def written(text: str, name: str) -> bool:
        start = text.index(name)
        return ordinary([TextPart("/prompt", "user", text)], [Span(0, start, start + len(name))], words)

    assert written("Behind a green star lived the Steelypips.", "green")
    assert not written("Where does Mr Green live?", "Green")
    assert not written("where does mr green live?", "green")  # who writes no capitals writes none in names
    assert not written("Where does müller live?", "müller")
