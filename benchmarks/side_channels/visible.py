"""Differences that need no statistics: a header, a field, a status that only one of two sides ever has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.side_channels.seen import Seen

CHANCE = 1e-6
"""A value on one side only is called a difference where chance would put it there less often than this."""
_BY_REQUEST = frozenset({"date", "x-request-id", "content-length"})
"""Headers whose values differ between any two answers; their lengths may not."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that one side has `count` times in `of` answers and the other never.

    Attributes:
        what: the property, e.g. `header server`.
        where: among which answers. Answers that used all tokens they were allowed end in other ways than others, so
            both sides are compared among equals only.
    """

    what: str
    where: str
    side: str
    value: str
    count: int
    of: int


def visible(seen: Seen) -> Mapping[str, str]:
    """Properties of an answer that a rule must not change, whatever the text says."""
    found = {
        "status": str(seen.status),
        "finish reason": seen.finish,
        "header names": " ".join(name for name, _ in seen.headers),
        "system fingerprint": seen.fingerprint,
        "shape of the events": " | ".join(seen.shape),
        "usage": "there" if seen.tokens >= 0 and seen.prompt_tokens > 0 else "missing or without a prompt",
    }
    for name, value in seen.headers:
        found[f"header {name}"] = f"{len(value)} characters" if name in _BY_REQUEST else value
    return found


def differences(
    left: Sequence[Seen], right: Sequence[Seen], sides: tuple[str, str], leave: Collection[str] = ()
) -> list[dict[str, object]]:
    """All values of all properties that one side has and the other has not, with little room for chance.

    Under exchangeable sides a value that occurs k times is on one side only with the probability share^k, where share
    is that side's part of the answers. Same questions on both sides must have the same number of prompt tokens too;
    a single exception is a difference. Properties in `leave` are not looked at.
    """
    found: list[Difference] = []
    counts = [_count(left), _count(right)]
    sizes = [Counter(map(_where, left)), Counter(map(_where, right))]
    for us, them in ((0, 1), (1, 0)):
        for (where, what, value), count in counts[us].items():
            ours, theirs = sizes[us][where], sizes[them][where]
            if what in leave or not theirs or (where, what, value) in counts[them]:
                continue
            if (ours / (ours + theirs)) ** count < CHANCE:
                found.append(Difference(what, where, sides[us], value, count, ours))
    prompts = {seen.question.key: seen.prompt_tokens for seen in right}
    pairs = [(seen.prompt_tokens, prompts[seen.question.key]) for seen in left if seen.question.key in prompts]
    if unequal := [f"{a} and {b}" for a, b in pairs if a != b]:
        found.append(Difference("prompt tokens", "same question", sides[0], unequal[0], len(unequal), len(pairs)))
    return [asdict(one) for one in found]


def _count(answers: Sequence[Seen]) -> Counter[tuple[str, str, str]]:
    return Counter((_where(seen), what, value) for seen in answers for what, value in visible(seen).items())


def _where(seen: Seen) -> str:
    return ("as long as allowed" if seen.full else "shorter than allowed") + ("" if seen.text else ", empty")
