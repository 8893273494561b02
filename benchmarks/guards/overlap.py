"""Runs of eight words: what was fitted on may not be measured on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

N = 8
_WORD = re.compile(r"\w+")


def grams(text: str) -> Iterator[int]:
    """Hashes of all runs of N words, in lower case, signs left out."""
    words = _WORD.findall(text.casefold())
    return (hash(tuple(words[i : i + N])) for i in range(len(words) - N + 1))


class Seen:
    """Runs of words of texts that may not come again."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Start with the runs of some texts."""
        self._grams = {gram for text in texts for gram in grams(text)}

    def __len__(self) -> int:
        return len(self._grams)

    def add(self, text: str) -> None:
        """Remember a text."""
        self._grams.update(grams(text))

    def shares(self, text: str) -> bool:
        """Whether the text has a run of words in common with what was seen."""
        return any(gram in self._grams for gram in grams(text))

    def share(self, text: str) -> float:
        """Share of the text's runs that were seen; 0 for a text too short for any."""
        listed = list(grams(text))
        return sum(gram in self._grams for gram in listed) / len(listed) if listed else 0.0
