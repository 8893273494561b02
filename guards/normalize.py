"""Text -> one canonical spelling, with every character mapped back to the original.

Folding works code point by code point, so that it needs no context and can be done on arrays: compatibility
decomposition (NFKD), case folding, accents and other combining marks dropped, invisible characters (category Cf: zero
width, soft hyphen, bidirectional controls, tags) dropped, every white space one space or a line feed, Latin look-alikes
of other scripts replaced. Names and text are folded alike, so what a fold conflates is conflated on both sides.
"""

# ruff: noqa: RUF001 - look-alike characters are what this file is about

from __future__ import annotations

import threading
import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint32]
Bools = npt.NDArray[np.bool_]

SEPARATOR, WORD, WIDE = 0, 1, 2
"""Classes of folded characters; WIDE is a letter of a script that writes no spaces between words."""

_CODE_POINTS = 0x110000
_UNKNOWN = 255
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # look like nothing although they are letters or symbols
_LOOKALIKES = {
    ord(pair[0]): pair[1:]
    for pair in (  # noqa: SIM905
        "аa вb еe кk мm нh оo рp сc тt уy хx іi јj ѕs һh ԁd ԛq ԝw үy "  # Cyrillic
        "αa βb εe ζz ηh ιi κk μm νn οo ρp τt υy χx ωw "  # Greek
        "øo łl đd ħh ıi æae œoe þth ðd ƒf ɡg ɑa ɩi ʀr ʏy ɴn "  # Latin without a decomposition
        "ᴀa ʙb ᴄc ᴅd ᴇe ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm ᴏo ᴘp ᴛt ᴜu ᴠv ᴡw ᴢz"
    ).split()
}
_QUOTES = str.maketrans("‘’‚‛“”„‟′″`´–—―−", "''''\"\"\"\"'\"''----")
_WIDE_RANGES = (
    (0x0E00, 0x0EFF),
    (0x0F00, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x312F),
    (0x31A0, 0x9FFF),
    (0x20000, 0x3FFFF),
)


def fold_char(char: str) -> str:
    """Canonical spelling of one code point: none, one or several characters."""
    category = unicodedata.category(char)
    if char in "\n\r\x85\u2028\u2029":
        return "\n"
    if category == "Zs" or char in "\t\v\f\x1c\x1d\x1e\x1f":
        return " "
    if category in ("Cf", "Cc") or char in _INVISIBLE:
        return ""
    if category == "Cs":
        return "\ufffd"
    if 0x1F130 <= ord(char) <= 0x1F189 or 0x1F1E6 <= ord(char) <= 0x1F1FF:  # boxed letters and flags
        base = 0x1F1E6 if ord(char) >= 0x1F1E6 else 0x1F130
        return chr(ord("a") + (ord(char) - base) % 32) if (ord(char) - base) % 32 < 26 else " "
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char.translate(_QUOTES)).casefold())
    text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Me", "Cf", "Cc"))
    return text.translate(_QUOTES).translate(_LOOKALIKES)


def _kind(char: str) -> int:
    if not char.isalnum() and unicodedata.category(char) != "Mc":
        return SEPARATOR
    return WIDE if any(low <= ord(char) <= high for low, high in _WIDE_RANGES) else WORD


def codes_of(text: str) -> Codes:
    """Code points of a string, lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def text_of(codes: npt.NDArray[np.unsignedinteger]) -> str:
    """The inverse of `codes_of`; codes of one byte are ASCII."""
    if codes.dtype == np.uint8:
        return codes.tobytes().decode("ascii")
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Folded:
    """Canonical text. `origin[i]` is the index of character `i` in the original; None where that is `i` itself."""

    text: str
    codes: npt.NDArray[np.unsignedinteger]
    kinds: npt.NDArray[np.uint8]
    origin: Ints | None

    def original(self, indices: Ints) -> Ints:
        """Positions in the original of characters of this text."""
        return indices if self.origin is None else self.origin[indices]

    def words(self) -> tuple[list[str], Ints, Ints]:
        """White-space separated words with the start and end of each in this text."""
        ink = np.zeros(len(self.codes) + 2, bool)
        ink[1:-1] = (self.codes != 32) & (self.codes != 10)
        edges = np.flatnonzero(ink[1:] != ink[:-1])
        return self.text.split(), edges[::2], edges[1::2]


@dataclass(frozen=True, slots=True)
class AliasView:
    """Words of a folded text separated by single spaces, everything else dropped, for name matching.

    Attributes:
        text: the view.
        codes, kinds: code point and class of every character of the view.
        origin: index of every character in the original text.
    """

    text: str
    codes: npt.NDArray[np.unsignedinteger]
    kinds: npt.NDArray[np.uint8]
    origin: Ints

    def take(self, at: Ints) -> AliasView:
        """The view of some of the characters."""
        return AliasView(text_of(self.codes[at]), self.codes[at], self.kinds[at], self.origin[at])


class Normalizer:
    """Folds texts. Holds the tables, which are filled as new characters are met; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._length = np.full(_CODE_POINTS, _UNKNOWN, np.uint8)
        self._start = np.zeros(_CODE_POINTS, np.int32)
        self._pool = np.zeros(0, np.uint32)
        self._kinds = np.zeros(0, np.uint8)
        self._learn(np.arange(128, dtype=np.uint32))
        self._ascii = np.array([ord(fold_char(chr(c)) or "\0") for c in range(128)], np.uint8)
        self._ascii_kinds = np.array([_kind(chr(c)) for c in range(128)], np.uint8)

    def fold(self, text: str) -> Folded:
        """Fold a text; any string is accepted."""
        if text.isascii():
            codes = self._ascii[np.frombuffer(text.encode("ascii"), np.uint8)]
            if codes.all():  # no control character that folds to nothing
                return Folded(codes.tobytes().decode("ascii"), codes, self._ascii_kinds[codes], None)
        return self._fold_any(codes_of(text))

    def view(self, folded: Folded) -> AliasView:
        """Collapse everything between words into single spaces."""
        letter = folded.kinds != SEPARATOR
        keep = letter.copy()
        keep[1:] |= letter[:-1]  # the first separator after a word stays, as a space
        at = np.flatnonzero(keep)
        kinds = folded.kinds[at]
        codes = np.where(kinds != SEPARATOR, folded.codes[at], folded.codes.dtype.type(32))
        return AliasView(text_of(codes), codes, kinds, folded.original(at))

    def words(self, name: str) -> list[str]:
        """Folded words of a name."""
        return self.view(self.fold(name)).text.split()

    def _fold_any(self, codes: Codes) -> Folded:
        lengths = self._length[codes]
        new = lengths == _UNKNOWN
        if new.any():
            self._learn(np.unique(codes[new]))
            lengths = self._length[codes]
        if (lengths == 1).all():
            at = self._start[codes]
            return Folded(text_of(self._pool[at]), self._pool[at], self._kinds[at], None)
        origin = np.repeat(np.arange(len(codes)), lengths)
        begins = np.cumsum(lengths, dtype=np.int64) - lengths
        at = self._start[codes][origin] + np.arange(len(origin)) - begins[origin]
        folded = self._pool[at]
        return Folded(text_of(folded), folded, self._kinds[at], origin)

    def _learn(self, codes: Codes) -> None:
        with self._lock:
            spelled = [(int(c), fold_char(chr(c))) for c in codes if self._length[c] == _UNKNOWN]
            text = "".join(s for _, s in spelled)
            # Readers look at the length last to be written: pool and starts must be complete before it.
            at = len(self._pool)
            self._kinds = np.concatenate([self._kinds, np.array([_kind(c) for c in text], np.uint8)])
            self._pool = np.concatenate([self._pool, codes_of(text)])
            for code, string in spelled:
                self._start[code] = at
                at += len(string)
            for code, string in spelled:
                self._length[code] = len(string)
