"""Other readings of a text: the same words behind a trivial code.

A view is built only where a cheap test says so. Every character of a view knows the characters `[start, end)` of the
original that it stands for: its own character for reversals, rotations and digits for letters, the whole encoded run
for base64, base32, hexadecimal, percent-encoding and HTML entities. Decoded text may be encoded again, down to DEPTH.
"""

from __future__ import annotations

import base64
import codecs
import html
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from guards.normalize import Folded, Ints, codes_of, text_of

DEPTH = 2
"""How many codes inside each other are undone."""
_SHORTEST, _SURE = 8, 16
"""Characters of the shortest run of base64 or hexadecimal that is decoded, and of one that needs no sign of a code."""
_CUT = 4
"""Letters of base64 that stand for three bytes; a run that is cut out of a longer one may begin with any of them."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}={0,2}")
_BASE32 = re.compile(r"(?<![A-Za-z0-9])(?:[A-Z2-7]{8,}+|[a-z2-7]{16,}+)(?![A-Za-z0-9])={0,6}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){6,}")
_TAG = re.compile("[\U000e0020-\U000e007e]+")
_HEX_SPACED = re.compile(r"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ ,:-]{0,2}){5,}(?:0x|\\x)?[0-9A-Fa-f]{2}")
_PAIRS = frozenset(f"{mark}{n:02x}{end}" for n in range(256) for mark in ("", "0x") for end in ("", ",", ":"))
_SPACE_ESCAPE = re.compile(r"\\+[abefnrtv0]")
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")
_STOPWORDS = frozenset(
    [
        "the",
        "and",
        "of",
        "to",
        "what",
        "who",
        "is",
        "in",
        "how",
        "which",
        "was",
        "does",
        "tell",
        "me",
        "about",
        "for",
        "are",
        "with",
    ]
)
_ROTATED = frozenset(codecs.encode(w, "rot13") for w in _STOPWORDS)
_REVERSED = frozenset(w[::-1] for w in _STOPWORDS if w[::-1] not in _STOPWORDS)
_ROTATED_ONLY = frozenset(w for w in _ROTATED if len(w) > 2)
_REVERSED_ONLY = frozenset(w for w in _REVERSED if len(w) > 2) - {"dna", "saw", "era"}
_AROUND = 4
_BARRIER = 0xA66E  # a letter that no name holds
_CODED = np.array([chr(c).isupper() or chr(c).isdigit() for c in range(128)])


@dataclass(frozen=True, slots=True)
class Decoded:
    """Decoded text with the characters of the original that each of its characters stands for."""

    text: str
    starts: Ints
    ends: Ints
    nested: bool  # whether it may hold a further code


def decoded(text: str, folded: Folded, words: list[str], starts: Ints, ends: Ints) -> Iterator[Decoded]:
    """Every view of a text that the cheap tests ask for; `words` are at `[start, end)` of the folded text."""
    begin, end = _odd(text, folded.original(starts), folded.original(ends - 1) + 1)
    if begin:
        yield from _joined(_together(_matches(_BASE64, text, begin, end)), _from_base64)
        yield from _joined(_matches(_BASE32, text, begin, end), _from_base32)
        yield from _joined(_matches(_HEX, text, begin, end), _from_hex)
    for mark, pattern, decode in _MARKED:
        if mark in text:
            at = [m.start() for m in pattern.finditer(text)]
            marked = np.unique(np.searchsorted(folded.original(starts), at, "right") - 1)
            marked = marked[marked >= 0]
            # a name may be coded in one of its words only
            marked = np.unique(np.clip(marked[:, None] + np.arange(-_AROUND, _AROUND + 1), 0, len(starts) - 1))
            begin, end = folded.original(starts[marked]).tolist(), (folded.original(ends[marked] - 1) + 1).tolist()
            yield from _joined(((text[a:b], a, b) for a, b in zip(begin, end, strict=True)), decode, context=True)
    if "\\" in text:
        yield from _unescaped(text, folded, starts, ends)
    known = set(words)
    if "\\x" in text or len(known & _PAIRS) >= 4:
        yield from _joined(((m[0], m.start(), m.end()) for m in _HEX_SPACED.finditer(text)), _from_hex)
    plain = len(known & _STOPWORDS)
    rotated = len(known & _ROTATED) > plain or len(known & _ROTATED_ONLY) > 1
    backwards = len(known & _REVERSED) > plain or len(known & _REVERSED_ONLY) > 1
    if not rotated and not backwards:
        return
    place = folded.original(np.arange(len(folded.text)))
    if rotated:
        yield Decoded(codecs.encode(folded.text, "rot13"), place, place + 1, nested=False)
    if backwards:
        yield Decoded(folded.text[::-1], place[::-1], place[::-1] + 1, nested=False)


def hidden(text: str) -> Iterator[Decoded]:
    """Letters written as Unicode tags, which nobody sees: in their places, and by themselves."""
    if text.isascii() or _TAG.search(text) is None:
        return
    codes = codes_of(text)
    tags = (codes >= 0xE0020) & (codes <= 0xE007E)
    place = np.arange(len(codes))
    shown = np.where(tags, codes - np.uint32(0xE0000), codes).astype(np.uint32)
    yield Decoded(text_of(shown), place, place + 1, nested=True)
    alone = np.flatnonzero(tags | np.append(False, tags[:-1]))
    yield Decoded(
        text_of(np.where(tags[alone], shown[alone], np.uint32(32)).astype(np.uint32)), alone, alone + 1, nested=True
    )


def _odd(text: str, starts: Ints, ends: Ints) -> tuple[list[int], list[int]]:
    """Words `[start, end)` that may be a code: very long ones, and long ones with capitals or digits inside."""
    codes = np.minimum(codes_of(text), 127) if not text.isascii() else np.frombuffer(text.encode("ascii"), np.uint8)
    signs = np.concatenate([[0], np.cumsum(_CODED[codes])])
    size = ends - starts
    odd = np.flatnonzero((size >= _SURE) | ((size >= _SHORTEST) & (signs[ends] - signs[starts + 1] > 0)))
    return starts[odd].tolist(), ends[odd].tolist()


def _together(runs: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    """Runs `(text, start, end)` of base64, neighbours joined where they were cut between letters of one group."""
    pieces: list[str] = []
    start = end = size = 0
    for run, first, last in runs:
        if pieces and first - end <= 2 and size % _CUT and not pieces[-1].endswith("="):
            tail = "".join(pieces[-2:])[-(size % _CUT + 2 * _CUT) :]
            if _from_base64(tail + run[: 4 * _CUT]) is not None:
                pieces.append(run)
                size, end = size + len(run), last
                continue
        if pieces:
            yield "".join(pieces), start, end
        pieces, size, start, end = [run], len(run), first, last
    if pieces:
        yield "".join(pieces), start, end


def _matches(pattern: re.Pattern[str], text: str, begin: list[int], end: list[int]) -> Iterator[tuple[str, int, int]]:
    """Matches of a pattern inside the words that are long enough."""
    for a, b in zip(begin, end, strict=True):
        for match in pattern.finditer(text, a, b):
            yield match[0], match.start(), match.end()


def _joined(
    runs: Iterable[tuple[str, int, int]], decode: Callable[[str], str | None], *, context: bool = False
) -> Iterator[Decoded]:
    """Decode runs `(text, start, end)`; neighbours are joined, so that a code broken over lines is one text.

    With `context` runs without a code are kept between the others.
    """
    texts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    coded = [False]
    for run, start, end in runs:
        plain = decode(run)
        if plain and (context or plain != run):
            glue = "" if coded[-1] and plain != run and start - ends[-1] <= 2 else " "
            texts.append(glue + plain)
            starts.append(start)
            ends.append(end)
            coded.append(plain != run)
    if any(coded):
        sizes = [len(t) for t in texts]
        yield Decoded("".join(texts), np.repeat(starts, sizes), np.repeat(ends, sizes), nested=True)


def _unescaped(text: str, folded: Folded, starts: Ints, ends: Ints) -> Iterator[Decoded]:
    """Words near literal escapes of white space, with white space in their place; a barrier where words are left out.

    In a name only the words next to an escape hold it, so their neighbours belong to the view.
    """
    found = [(m.start(), m.end()) for m in _SPACE_ESCAPE.finditer(text)]
    if not found:
        return
    place = folded.original(starts)
    near = np.zeros(len(starts) + 1, np.int64)
    at = np.maximum(np.searchsorted(place, [a for a, _ in found], "right") - 1, 0)
    np.add.at(near, np.maximum(at - _AROUND, 0), 1)
    np.add.at(near, np.minimum(at + _AROUND + 1, len(starts)), -1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (np.cumsum(near)[:-1] > 0).view(np.int8), [0]])))
    keep = np.zeros(len(text), bool)
    codes = codes_of(text).copy()
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        begin, end = int(place[first]), int(folded.original(ends[last - 1 : last] - 1)[0]) + 1
        keep[begin:end] = True
        if end < len(text):
            keep[end] = True
            codes[end] = _BARRIER
    for begin, end in found:
        codes[begin] = ord(" ")
        keep[begin + 1 : end] = False
    kept = np.flatnonzero(keep)
    yield Decoded(text_of(codes[kept]), kept, kept + 1, nested=True)


def _readable(data: bytes) -> str | None:
    """Decoded bytes if they look like text, plain or coded once more: nearly all valid and printable, few signs."""
    wide = data[1::2].count(0) * 3 > len(data)
    text = data.decode("utf-16-le" if wide else "utf-8", "ignore")
    valid = len(text) * 2 if wide else len(text.encode())
    shown = sum(c.isprintable() or c in "\n\r\t" for c in text)
    known = sum(c.isalnum() or c in " &#;%\\\\+/=" for c in text)
    return text if valid >= 0.9 * len(data) and shown >= 0.95 * len(text) and known >= 0.8 * len(text) > 3 else None


def _from_base64(run: str) -> str | None:
    body = run.rstrip("=")
    # Words and identifiers of ordinary text have no capitals inside, or are split by signs.
    if body[1:].islower() or body.isupper() or not re.search(r"[A-Z0-9]", body[1:]):
        return None
    body = body.replace("-", "+").replace("_", "/")
    for cut in range(_CUT if len(body) >= _SURE else 1):
        part = body[cut:]
        if len(part) % 4 == 1:
            part = part[:-1]
        text = _readable(base64.b64decode(part + "=" * (-len(part) % 4)))
        if text is not None:
            return text
    return None


def _from_base32(run: str) -> str | None:
    body = run.rstrip("=").upper()
    if body == run.upper() and body.isalpha() and len(body) < _SURE:
        return None
    body = body[: len(body) - (len(body) % 8 in (1, 3, 6))]  # letters that no byte needs
    return _readable(base64.b32decode(body + "=" * (-len(body) % 8)))


def _from_hex(run: str) -> str | None:
    digits = re.sub(r"0x|\\x|[ ,:-]", "", run)
    return _readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _from_escapes(run: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)), run)


_MARKED = (
    ("%", re.compile(r"%[0-9A-Fa-f]{2}"), urllib.parse.unquote),
    ("&", re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,31});"), html.unescape),
    ("\\u", _ESCAPE, _from_escapes),
)
"""What is in the text, what it must look like, how the words that hold it are decoded."""
