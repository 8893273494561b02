"""Everyday texts without words: lists of numbers, tables, logs, identifiers, patterns of signs.

They hold hardly any words, and a linear model that was fitted on sentences says of them what it likes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

_TASKS = (
    "",
    "",
    "Sort these: ",
    "What is the average of ",
    "Is there a mistake in this?\n",
    "Make a table of this:\n",
    "Explain this output:\n",
    "Continue: ",
    "Which of these is the largest?\n",
    "What does this mean?\n",
)
_COLUMNS = ("id", "date", "price", "count", "total", "x", "y", "rate", "weight", "share", "hour", "code")
_LEVELS = ("INFO", "WARNING", "ERROR", "DEBUG")
_EVENTS = ("connection closed", "request done", "retry", "cache miss", "started", "timeout", "disk full", "GET / 200")
_HIGHEST = (9, 31, 100, 127, 255, 999, 99_999)


def wordless(count: int, seed: int = 20240610) -> Iterator[str]:
    """So many texts, always the same ones."""
    draw = random.Random(seed)
    kinds = (_numbers, _decimals, _table, _log, _identifiers, _addresses, _sums, _pairs, _signs)
    for _ in range(count):
        yield draw.choice(_TASKS) + draw.choice(kinds)(draw)


def _numbers(draw: random.Random) -> str:
    highest, glue = draw.choice(_HIGHEST), draw.choice((" ", ", ", ",", "\n", "-", "; "))
    lowest = draw.choice((0, 1, 32)) if highest > 32 else 0
    shape = draw.choice(("{}", "{}", "{}", "{:x}", "{:02x}", "{:03d}", "{:b}"))
    return glue.join(shape.format(draw.randint(lowest, highest)) for _ in range(draw.randint(5, 80)))


def _decimals(draw: random.Random) -> str:
    places, scale = draw.randint(1, 4), 10.0 ** draw.randint(0, 4)
    glue = draw.choice((" ", ", ", "\n", "\t"))
    return glue.join(f"{draw.random() * scale:.{places}f}" for _ in range(draw.randint(4, 40)))


def _table(draw: random.Random) -> str:
    names, glue = draw.sample(_COLUMNS, draw.randint(2, 5)), draw.choice((",", ";", "\t", " | "))
    rows = [[str(draw.randint(0, draw.choice(_HIGHEST))) for _ in names] for _ in range(draw.randint(3, 15))]
    return "\n".join(glue.join(row) for row in [names, *rows])


def _log(draw: random.Random) -> str:
    def line() -> str:
        return f"{_date(draw)}T{_time(draw)} {draw.choice(_LEVELS)} [{draw.randint(1, 9999)}] {draw.choice(_EVENTS)}"

    return "\n".join(line() for _ in range(draw.randint(3, 12)))


def _identifiers(draw: random.Random) -> str:
    def one() -> str:
        word = f"{draw.getrandbits(128):032x}"
        return f"{word[:8]}-{word[8:12]}-{word[12:16]}-{word[16:20]}-{word[20:]}" if dashes else word[:size]

    dashes, size = draw.random() < 0.5, draw.choice((8, 12, 32))
    return draw.choice(("\n", " ", ", ")).join(one() for _ in range(draw.randint(2, 12)))


def _addresses(draw: random.Random) -> str:
    def one() -> str:
        if phone:
            groups = draw.randint(1, 99), draw.randint(100, 999), draw.randint(100, 999), draw.randint(1000, 9999)
            return "+" + " ".join(map(str, groups))
        return ".".join(str(draw.randint(0, 255)) for _ in range(4)) + draw.choice(("", ":80", "/24"))

    phone = draw.random() < 0.5
    return draw.choice(("\n", ", ")).join(one() for _ in range(draw.randint(2, 12)))


def _sums(draw: random.Random) -> str:
    def one() -> str:
        numbers = [str(draw.randint(1, 999)) for _ in range(draw.randint(2, 6))]
        return f" {draw.choice('+-*/')} ".join(numbers) + draw.choice((" = ?", " =", ""))

    return draw.choice(("\n", "; ")).join(one() for _ in range(draw.randint(1, 8)))


def _pairs(draw: random.Random) -> str:
    names = draw.sample(_COLUMNS, draw.randint(2, 6))
    rows = [", ".join(f'"{name}": {draw.randint(0, 999)}' for name in names) for _ in range(draw.randint(1, 6))]
    return "[" + ",\n ".join(f"{{{row}}}" for row in rows) + "]"


def _signs(draw: random.Random) -> str:
    """Rules, dotted lines, beats, boards: few signs in groups, and lines of groups."""
    signs = draw.choice((".-", "-=", "*.", "x-", "#.", "|-", "_/\\", "·•", "XO.", "01", "+-|"))
    glue, longest = draw.choice((" ", " ", "  ", " / ", "")), draw.randint(1, 8)

    def group() -> str:
        return "".join(draw.choice(signs) for _ in range(draw.randint(1, longest)))

    lines = [glue.join(group() for _ in range(draw.randint(3, 25))) for _ in range(draw.choice((1, 1, 2, 4, 8)))]
    return "\n".join(lines)


def _date(draw: random.Random) -> str:
    return f"{draw.randint(1995, 2026)}-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}"


def _time(draw: random.Random) -> str:
    return f"{draw.randint(0, 23):02d}:{draw.randint(0, 59):02d}:{draw.randint(0, 59):02d}"
