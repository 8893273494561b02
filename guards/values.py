"""Forgotten values in a text: the one predicate by which leakage is counted everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

from guards.aliases import join_initials, pluralised
from guards.normalize import WIDE, Normalizer


def found_values(text: str, values: Iterable[str], question: str = "") -> tuple[str, ...]:
    """Values that stand in `text` as whole words and not already in `question`.

    Compared are the spellings that the guards compare: case, accents, quotes, punctuation and white space do not
    matter, initials may be written apart, and a value of four letters or more may have a plural or possessive s.
    """
    return tuple(v for v in values if v and _holds(text, v) and not _holds(question, v))


def _holds(text: str, value: str) -> bool:
    spellings = _spellings(value)
    if not spellings:  # signs only
        return value in text
    return any(spelling in view for view in _views(text) for spelling in spellings)


@cache
def _normalizer() -> Normalizer:
    return Normalizer()


def _words(text: str) -> list[str]:
    """Folded words; a letter of a script without spaces is a word."""
    view = _normalizer().view(_normalizer().fold(text))
    if not (view.kinds == WIDE).any():
        return view.text.split()
    return "".join(f" {c} " if k == WIDE else c for c, k in zip(view.text, view.kinds.tolist(), strict=True)).split()


@lru_cache(1024)
def _views(text: str) -> tuple[str, ...]:
    words = _words(text)
    joined = join_initials(words)
    return tuple(f" {' '.join(w)} " for w in ([words] if joined == words else [words, joined]))


@lru_cache(4096)
def _spellings(value: str) -> tuple[str, ...]:
    words = _words(value)
    if not words:
        return ()
    found = {" ".join(words), " ".join(join_initials(words))}
    return tuple(f" {s} " for s in sorted(found | pluralised(found)))
