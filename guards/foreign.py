"""The letters of other scripts in a text as sounds, for names that were transliterated."""

from __future__ import annotations

import re
import threading
import unicodedata
from dataclasses import dataclass

import numpy as np

from guards.normalize import Ints, codes_of
from guards.sounds import SCRIPTS, digraphs, heard, script_of, sounds

_OTHER = re.compile("[\u0370-\u1fff\u3041-\u9fff\uac00-\ud7a3\ufb50-\ufefc\uff66-\uff9d]")
_SYMBOLS = "PDKLN"
_MOST = 3  # consonants of one letter: syllables of Hangul
_UNKNOWN, _SPACE, _BREAK, _NOTHING = 255, 0, 254, 253
_CODE_POINTS = 0x110000
BARRIER = "#"


@dataclass(frozen=True, slots=True)
class Foreign:
    """The consonants of all letters of other scripts in a text.

    Attributes:
        skeleton: group of every consonant (see `guards.sounds`); BARRIER where Latin letters or digits stand between.
        at: character of the text that each stands for.
        words: number of the word of each; words are unbroken runs of letters of one script.
        scripts: index into `SCRIPTS` of the script of each.
        starts, ends: characters `[start, end)` of each word, by its number.
        text: the text, with digraphs as single letters; as long as it was.
    """

    skeleton: str
    at: Ints
    words: Ints
    scripts: Ints
    starts: Ints
    ends: Ints
    text: str


class Listener:
    """Hears texts. Holds the table of letters, which is filled as new ones are met; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._script = np.full(_CODE_POINTS, _UNKNOWN, np.uint8)
        self._groups = np.zeros((_CODE_POINTS, _MOST), np.uint8)

    def hear(self, text: str) -> Foreign | None:
        """The sounds of a text; None where it has no letters of other scripts."""
        if text.isascii() or _OTHER.search(text) is None:
            return None
        text = digraphs(text)
        codes = codes_of(text)
        scripts = self._script[codes]
        if (scripts == _UNKNOWN).any():
            self._learn(np.unique(codes[scripts == _UNKNOWN]))
            scripts = self._script[codes]
        if not ((scripts != _SPACE) & (scripts < _NOTHING)).any():  # signs only
            return None
        kept = np.flatnonzero(scripts != _NOTHING)
        scripts = scripts[kept].astype(np.int64)
        change = np.diff(scripts, prepend=-1) != 0
        ink = scripts != _SPACE
        numbers = np.cumsum(change & ink) - 1
        places = np.flatnonzero(ink)
        at, numbers, scripts = kept[places], numbers[places], scripts[places]
        groups = self._groups[codes[at]]
        row, _ = np.nonzero(groups)
        symbols = groups[groups > 0]
        word = numbers[row]
        fresh = (np.diff(symbols, prepend=0) != 0) | (np.diff(word, prepend=-1) != 0)
        row, symbols, word = row[fresh], symbols[fresh], word[fresh]
        begin = np.flatnonzero(np.diff(numbers, prepend=-1))
        stop = np.append(begin[1:], len(numbers)) - 1
        return Foreign(
            (symbols + 64).tobytes().decode("ascii").translate(_SPELL),
            at[row],
            word,
            scripts[row] - 1,
            at[begin],
            at[stop] + 1,
            text,
        )

    def _learn(self, codes: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> None:
        with self._lock:
            for code in codes.tolist():
                char = chr(code)
                script = script_of(char)
                if script:
                    for i, group in enumerate(sounds([heard(char)]).skeleton[:_MOST]):
                        self._groups[code, i] = _SYMBOLS.index(group) + 1
                elif char.isalnum():
                    self._groups[code, 0] = len(_SYMBOLS) + 1
                # Readers look at the script: what it needs must be written before it.
                self._script[code] = _class(char, script)


_SPELL = {64 + i: symbol for i, symbol in enumerate(f" {_SYMBOLS}{BARRIER}")}


def _class(char: str, script: str) -> int:
    if script:
        return SCRIPTS.index(script) + 1
    if char.isalnum():
        return _BREAK
    return _NOTHING if unicodedata.category(char) in ("Cf", "Mn", "Me") else _SPACE
