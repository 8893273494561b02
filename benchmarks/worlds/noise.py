"""Misspelt text, as people type it."""

from __future__ import annotations

import random


def swap(text: str, rng: random.Random) -> str:
    """Swap two neighbouring letters inside a word of four or more letters; other text comes back as it is."""
    places = [
        i
        for i in range(1, len(text) - 2)
        if text[i - 1 : i + 3].isalpha() and text[i] != text[i + 1] and text[i : i + 2].islower()
    ]
    if not places:
        return text
    i = rng.choice(places)
    return text[:i] + text[i + 1] + text[i] + text[i + 2 :]


def misspell(text: str, name: str, rng: random.Random) -> str:
    """Misspell a name where it stands in the text."""
    return text.replace(name, swap(name, rng))


def lower(text: str) -> str:
    """All lower case."""
    return text.lower()
