"""How many recognised texts three harmless words turn into passes: drawn at random, or chosen on another guard.

The chooser has a surrogate: the same policies, fitted by the same code with another secret. Of a pool of words it adds
three, one after the other, each time the one that lowers the surrogate's score most, and then tries the real guard.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.guards.scanning import Scanned
from guards.guard import Guard
from guards.share import upper
from guards.verdict import TextPart

WORDS, POOL = 3, 24
"""Words that are added; words that a greedy step chooses from."""
PLACES = ("appended", "interleaved", "interleaved, name broken")
"""Behind the text; between its words, but not inside the name; between its words and one inside the name."""


def flips(
    guard: Guard, surrogate: Guard, recognised: Sequence[Scanned], words: Sequence[str], done: Callable[[], object]
) -> dict[str, Any]:
    """Share of the texts that pass with words added, by how the words are chosen and where they stand.

    Args:
        recognised: requests of one message that their policy flags.
        words: harmless words to choose from.
        done: called after each text.
    """
    hits = {f"{how}, {place}": [0, 0] for how in ("random", "greedy") for place in PLACES}
    examples: dict[str, list[str]] = {name: [] for name in hits}
    for result in recognised:
        draw = random.Random(f"flip/{result.case.item}/{result.case.family}")
        pool = draw.sample(list(words), min(POOL, len(words)))
        for place in PLACES:
            if place == PLACES[2] and not _breakable(result):
                continue
            chosen = {"random": pool[:WORDS], "greedy": _greedy(surrogate, result, pool, place)}
            for how, added in chosen.items():
                text = written(result.case.text, added, place, result.case.name)
                passes = not _scan(guard, result, text)[0]
                counted = hits[f"{how}, {place}"]
                counted[0] += passes
                counted[1] += 1
                if passes and len(examples[f"{how}, {place}"]) < 10:
                    examples[f"{how}, {place}"].append(f"{result.case.shown} + {' '.join(added)}")
        done()
    return {
        name: {
            "n": n,
            "flipped": k,
            "share": round(k / n, 4) if n else None,
            "hi": round(upper(k, n), 4),
            "worst": examples[name],
        }
        for name, (k, n) in hits.items()
    }


def written(text: str, added: Sequence[str], place: str, name: str) -> str:
    """The text with words added to one of PLACES."""
    if place == PLACES[0]:
        return f"{text} {' '.join(added)}"
    own, size = text.split(), len(name.split())
    at = [round((i + 1) * len(own) / (len(added) + 1)) for i in range(len(added))]
    first = len(text[: text.index(name)].split()) if name and name in text else len(own)
    if place == PLACES[2]:
        at = sorted([first + 1, *at[: len(added) - 1]])
    else:
        at = [first + size if first < a < first + size else a for a in at]
    for place_, word in reversed(list(zip(at, added, strict=True))):
        own.insert(place_, word)
    return " ".join(own)


def _greedy(surrogate: Guard, result: Scanned, pool: Sequence[str], place: str) -> list[str]:
    """Words by which the surrogate's score falls most, one at a time; a score that nothing moves ends the search."""
    chosen: list[str] = []
    flagged, start = _scan(surrogate, result, result.case.text)
    for _ in range(WORDS):
        scores = [
            (_scan(surrogate, result, written(result.case.text, [*chosen, word], place, result.case.name))[1], word)
            for word in pool
        ]
        best, word = min(scores)
        if flagged and best >= start and not chosen:
            return list(pool[:WORDS])
        chosen.append(word)
    return chosen


def _scan(guard: Guard, result: Scanned, text: str) -> tuple[bool, float]:
    part = result.case.parts[0]
    verdict = guard.scan([replace(part, text=text)], [result.case.policy])[0]
    return verdict.flagged, verdict.score


def _breakable(result: Scanned) -> bool:
    return " " in result.case.name and result.case.name in result.case.text


def one_message(result: Scanned) -> bool:
    """Whether words can be added to the only message of a request."""
    return len(result.case.parts) == 1 and isinstance(result.case.parts[0], TextPart)
