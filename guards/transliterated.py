"""Names found in texts of other scripts, by how they sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import ahocorasick
import numpy as np

from guards.foreign import Foreign
from guards.sounds import JOINED, PREFIXED, SCRIPTS, SPACELESS, STYLES, Sounds, distance, heard, sounds

FEWEST = {"katakana": 3, "hangul": 3, "han": 5}
USUALLY = 4
"""Consonants of a name of several words that is looked for by its sounds, by script; one more of a name of one word."""
LONG = 5
FAR = {3: 0.02, 4: 0.07, 5: 0.1}
FAR_BARE = {4: 0.01, 5: 0.06}
"""Consonants, at most LONG -> largest difference of sounds per consonant; with vowels, and in scripts without them."""
LONGEST = 1 << 30
ENDING, PREFIX = 2, 2
"""Consonants that an ending of a case and a prefixed article or preposition may add."""
PARTICLE = 2
"""Syllables of a Korean particle."""

_FEWEST = [FEWEST.get(script, USUALLY) for script in SCRIPTS]
_JOINING = frozenset(SCRIPTS.index(script) for script in ("hangul", "katakana", "hebrew"))
"""Scripts that write what a hyphen joins as one word."""
_EXTRA = 0.1
"""What a consonant of an ending adds to the difference."""
_BEFORE = np.array([LONGEST if s in SPACELESS else PREFIX if s in PREFIXED else 0 for s in SCRIPTS])
_AFTER = np.array([LONGEST if s in JOINED else ENDING for s in SCRIPTS])


@dataclass(frozen=True, slots=True)
class Written:
    """A name as it is written in some scripts; `number` is its place in the list of names."""

    number: int
    sounds: Sounds
    scripts: frozenset[int]


class Transliterations:
    """One automaton over the sounds of all names. Reading is thread-safe."""

    def __init__(self, names: Sequence[Sequence[str]]) -> None:
        """Build the index of names, given as folded words."""
        patterns: dict[str, list[Written]] = {}
        for number, words in enumerate(names):
            if all(len(w) > 1 and w.isascii() and w.isalpha() for w in words):  # no initials
                for written in _spellings(number, words):
                    patterns.setdefault(written.sounds.skeleton, []).append(written)
        self._automaton = ahocorasick.Automaton()
        for skeleton, owners in patterns.items():
            self._automaton.add_word(skeleton, (len(skeleton), tuple(owners)))
        if patterns:
            self._automaton.make_automaton()
        self._empty = not patterns

    def find(self, foreign: Foreign) -> Iterator[tuple[int, int, int]]:
        """Number of a name, and the characters `[start, end)` of the text that it was heard in."""
        if self._empty:
            return
        hits = list(self._automaton.iter(foreign.skeleton))
        if not hits:
            return
        last = np.array([end for end, _ in hits])
        first = last - np.array([length for _, (length, _) in hits]) + 1
        script = foreign.scripts[first]
        before = first - np.searchsorted(foreign.words, foreign.words[first])
        after = np.searchsorted(foreign.words, foreign.words[last], "right") - 1 - last
        fits = (foreign.scripts[last] == script) & (before <= _BEFORE[script]) & (after <= _AFTER[script])
        for at in np.flatnonzero(fits).tolist():
            here, name = int(script[at]), SCRIPTS[script[at]]
            length, owners = hits[at][1]
            owners = [owner for owner in owners if here in owner.scripts]
            if not owners:
                continue
            limit = (FAR_BARE if name in PREFIXED else FAR).get(min(length, LONG), 0.0)
            more = 0.0 if name in JOINED else _EXTRA * after[at] / length
            heard_: set[int] = set()
            for start, end, there, begin in _spelled(foreign, int(first[at]), int(last[at]), name):
                if there.skeleton[begin : begin + length] != owners[0].sounds.skeleton:
                    continue
                for owner in owners:
                    if owner.number not in heard_ and distance(owner.sounds, there, begin, name) + more <= limit:
                        heard_.add(owner.number)
                        yield owner.number, start, end


def _spelled(foreign: Foreign, first: int, last: int, script: str) -> Iterator[tuple[int, int, Sounds, int]]:
    """Characters of the words, or in scripts without spaces of the letters, that hold a run of consonants.

    Yields start, end, the sounds between them, and where among these the run begins; in Korean also without the last
    syllables, which may be particles whose consonants cannot be told from those of the name.
    """
    text = foreign.text
    numbers = range(int(foreign.words[first]), int(foreign.words[last]) + 1)
    bounds = [(int(foreign.starts[n]), int(foreign.ends[n])) for n in numbers]
    if script in JOINED:  # what follows is no ending
        after = foreign.at[last + 1] if last + 1 < len(foreign.at) else len(text)
        bounds[-1] = (bounds[-1][0], min(bounds[-1][1], max(int(after), int(foreign.at[last]) + 1)))
    if script in SPACELESS:
        bounds[0] = (int(foreign.at[first]), bounds[0][1])
    begin = 0 if script in SPACELESS else first - int(np.searchsorted(foreign.words, foreign.words[first]))
    start, end = bounds[-1]
    for less in range(PARTICLE + 1) if script == "hangul" else (0,):
        if end - less > max(start, int(foreign.at[last]) if less else start):
            bounds[-1] = (start, end - less)
            yield bounds[0][0], end - less, sounds(["".join(map(heard, text[a:b])) for a, b in bounds]), begin


def _spellings(number: int, words: Sequence[str]) -> Iterator[Written]:
    """A name, and the same with the surname first, in all styles; styles that spell it alike are one."""
    styles: dict[tuple[str, ...], set[int]] = {}
    for style in STYLES:
        for said in style.ways(words):
            styles.setdefault(said, set()).update(SCRIPTS.index(script) for script in style.scripts)
    for said, found in styles.items():
        joined = frozenset(script for script in found if script in _JOINING)
        orders = (said, said[::-1]) if len(said) == 2 else (said,)
        for order, scripts in [*((o, frozenset(found)) for o in orders), *((o, joined) for o in _together(said))]:
            made = sounds(order)
            size = len(made.skeleton) if len(words) > 1 else len(made.skeleton) - 1
            long = frozenset(script for script in scripts if size >= _FEWEST[script])
            if long:
                yield Written(number, made, long)


def _together(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A name with two words written as one, where that makes one consonant of two alike."""
    for at, (one, other) in enumerate(pairwise(words)):
        apart, joined = sounds((one, other)), sounds((one + other,))
        if apart.skeleton != joined.skeleton:
            yield (*words[:at], one + other, *words[at + 2 :])
