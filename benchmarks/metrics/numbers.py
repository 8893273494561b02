"""Number words to digits, so that "nineteen fifty-two" is found as 1952. English only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# fmt: off
_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
# fmt: on
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_IRREGULAR = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000, "hundredth": 100, "thousandth": 1000}
SMALL = (
    {word: value for value, word in enumerate(_UNITS)}
    | {word: 10 * value for value, word in enumerate(_TENS, 2)}
    | {f"{word}th": value for value, word in enumerate(_UNITS)}
    | {f"{word[:-1]}ieth": 10 * value for value, word in enumerate(_TENS, 2)}
    | _IRREGULAR
)
"""Cardinals and ordinals below 100 that are one word."""
_LONGEST = 18
_ZEROS = frozenset(("o", "oh"))
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")


def with_digits(words: Sequence[str], *, joined: bool) -> list[str]:
    """Words with number words replaced by digits; words are lower case without signs.

    Numbers that follow each other stay apart ("nineteen fifty two" -> 19 52), or are written together if `joined`
    (1952), which is how years and digits one by one are said.
    """
    out: list[str] = []
    run: list[str] = []
    for word, value in _numbers(words):
        if value is None and word in _ZEROS and run:
            run.append("0")
        elif value is None:
            out += ["".join(run)] if joined and run else run
            out.append(word)
            run = []
        else:
            run.append(str(value))
    return out + (["".join(run)] if joined and run else run)


def _numbers(words: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    """Words that are no numbers, with None, and longest runs of words that are one number."""
    at = 0
    while at < len(words):
        if _value(words[at]) is None:
            yield words[at], None
            at += 1
            continue
        value, end = _cardinal(words, at)
        yield " ".join(words[at:end]), value
        at = end


def _cardinal(words: Sequence[str], at: int) -> tuple[int, int]:
    """The number that starts at a word, and where it ends."""
    total, group = 0, _value(words[at]) or 0
    tens = words[at] in _TENS
    at += 1
    while at < len(words):
        word = words[at]
        value = _value(word)
        if word in SCALES and group:
            scale = SCALES[word]
            total, group = (total, group * scale) if scale == 100 else (total + group * scale, 0)
            tens = False
        elif value is not None and not word.isdigit() and ((tens and 0 < value < 10) or _open(words[at - 1], value)):
            group += value
            tens = word in _TENS
        elif word == "and" and words[at - 1] in SCALES and at + 1 < len(words) and _value(words[at + 1]) is not None:
            group += _value(words[at + 1]) or 0
            tens = words[at + 1] in _TENS
            at += 1
        else:
            break
        at += 1
    return total + group, at


def _open(before: str, value: int) -> bool:
    """Whether a number of this size continues what a scale word began: "two hundred five", "two thousand one"."""
    return before in SCALES and value < SCALES[before]


def _value(word: str) -> int | None:
    if len(word) > _LONGEST:  # no number that anybody says, and converting it would take long
        return None
    if word.isdecimal() and word.isascii():
        return int(word)
    ordinal = _ORDINAL.fullmatch(word)
    return int(ordinal[1]) if ordinal else SMALL.get(word)
