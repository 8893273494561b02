"""Everything a text may say to somebody who looks: plain, decoded, with number words as digits."""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache, partial
from urllib.parse import unquote

from benchmarks.metrics.numbers import with_digits
from guards.aliases import join_initials
from guards.normalize import WIDE, Normalizer

_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
"""Unicode tag characters: invisible, but models read and write them as ASCII."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}={0,2}")
_HEX = re.compile(r"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ ,:]?){4,}")
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")
_LEET = str.maketrans("034578", "oeastb")
_LEET_SIGNS = ((re.compile(r"@(?=\w)"), "a"), (re.compile(r"\$(?=\w)"), "s"), (re.compile(r"(?<=\w)[!|](?=\w)"), "1"))
_MIXED = re.compile(r"(?<!\w)(?=\w*[^\W\d])(?=\w*\d)\w+")
_INSIDE = re.compile(r"(?<=\w)[^\w\s]+(?=\w)|_")


@lru_cache(2048)
def readings(text: str) -> tuple[tuple[str, str], ...]:
    """(name, reading) of a text, the plain one first; readings are words with a space before and after each.

    Names: plain, joined (signs inside words dropped, single letters written together), numbers, and the same after
    rot13, reversed, base64, hex, escaped (JSON, HTML, URL) and leet, for example `rot13` or `rot13 numbers`. A reading
    that says nothing new is left out.
    """
    shown = text.translate(_TAGS)
    found: dict[str, str] = {}
    for code, decoded in _decoded(shown):
        for form, words in _forms(decoded):
            reading = f" {' '.join(words)} "
            if words and reading not in found:
                found[reading] = f"{code} {form}".strip() or "plain"
    return tuple((name, reading) for reading, name in found.items())


@lru_cache(8192)
def spelled(value: str) -> tuple[str, ...]:
    """Ways to write a value in a reading; none for a value of signs only."""
    return tuple(dict.fromkeys(" ".join(words) for _, words in _forms(value) if words))


def folded_words(text: str) -> list[str]:
    """Words in lower case without accents, signs, invisible characters and look-alikes; digits of any script as 0-9.

    A letter of a script that writes no spaces is a word.
    """
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    view = _normalizer().view(_normalizer().fold(text))
    if not (view.kinds == WIDE).any():
        return view.text.split()
    return "".join(f" {c} " if k == WIDE else c for c, k in zip(view.text, view.kinds.tolist(), strict=True)).split()


@cache
def _normalizer() -> Normalizer:
    return Normalizer()


def _forms(text: str) -> Iterator[tuple[str, list[str]]]:
    words = folded_words(text)
    yield "", words
    shown = unicodedata.normalize("NFKC", text)
    if _INSIDE.search(shown):
        yield "joined", folded_words(_INSIDE.sub("", shown))
    yield "joined", join_initials(words)
    apart = with_digits(words, joined=False)
    if apart != words or any(word.isdecimal() for word in words):
        yield "numbers", apart
        yield "numbers", with_digits(words, joined=True)


def _decoded(text: str) -> Iterator[tuple[str, str]]:
    yield "", text
    yield "rot13", codecs.encode(text, "rot13")
    yield "reversed", text[::-1]
    yield "reversed", " ".join(word[::-1] for word in text.split())
    for run in [*_BASE64.findall(text), *_BASE64.findall("".join(text.split()))]:
        yield from (("base64", plain) for plain in _from_base64(run))
    for run in _HEX.findall(text):
        yield from (("hex", said) for said in _said(bytes.fromhex(re.sub(r"0x|\\x|[ ,:]", "", run))))
    escaped = html.unescape(unquote(_ESCAPE.sub(lambda m: chr(int(m[1], 16)), text)))
    if escaped != text:
        yield "escaped", escaped
    plain = text.casefold()
    for sign, letter in _LEET_SIGNS:
        plain = sign.sub(letter, plain)
    for one in "il":
        leet = _MIXED.sub(partial(_letters, one=one), plain)
        if leet != text.casefold():
            yield "leet", leet


def _letters(word: re.Match[str], one: str) -> str:
    """Digits of a word as letters; a 1 is i or l."""
    return word[0].translate(_LEET).replace("1", one)


def _from_base64(run: str) -> Iterator[str]:
    body = run.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[:-1] if len(body) % 4 == 1 else body
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except binascii.Error:  # not base64 after all: there is nothing to read
        return
    yield from _said(data)


def _said(data: bytes) -> Iterator[str]:
    """Decoded bytes, if most of them are text: an ordinary word read as base64 is not."""
    text = data.decode("utf-8", "replace")
    if sum(c.isprintable() and c != "\ufffd" for c in text) > 0.7 * len(text):
        yield text
