"""Isolation under load: what flagged neighbours in the batch do to the answers of others, and the other way round.

An engine is not batch-invariant: floating-point sums depend on who else is in the batch, so that even without any rule
two runs may differ in a text. The measure is therefore the bare engine's own rate under an equal load.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.forgetting import rate
from benchmarks.leakage.client import Server
from benchmarks.side_channels.ask import Answers, Turn
from benchmarks.side_channels.questions import Question
from benchmarks.side_channels.seen import Seen

CONCURRENCY = 32
LENGTH = 24
"""Tokens of every answer: so long that batches stay full, and that one difference has time to show."""
FIELDS = {"max_tokens": LENGTH, "min_tokens": LENGTH, "ignore_eos": True, "logprobs": True, "top_logprobs": 1}
ROUNDS = 3
Ask = Callable[[Sequence[Turn]], Answers]


@dataclass(frozen=True, slots=True)
class Mixture:
    """Questions for one comparison: `watched` among `flagged` ones, or among `others`, of which none is flagged."""

    watched: Sequence[Question]
    flagged: Sequence[Question]
    others: Sequence[Question]


def rounds(ask: Ask, server: Server, always: Server, mixture: Mixture, seed: int) -> dict[str, list[list[Seen]]]:
    """Ask every mixture ROUNDS times in another order, several questions at a time.

    Returns answers by `watched, mixed`, `watched, alone`, `flagged, mixed`, `flagged, flagged only` and `control`: the
    watched questions behind a guard that flags everything, whose answers must differ. Every batch of requests has a
    cache salt of its own, so nothing comes from the prefix cache.
    """
    found: dict[str, list[list[Seen]]] = {}
    plans: Mapping[str, tuple[tuple[str, Server, Sequence[Question]], ...]] = {
        "mixed": (("watched", server, mixture.watched), ("flagged", server, mixture.flagged)),
        "alone": (("watched", server, mixture.watched), ("others", server, mixture.others)),
        "flagged only": (("flagged", server, mixture.flagged), ("more", server, mixture.flagged)),
    }
    for number in range(ROUNDS):
        for name, parts in plans.items():
            for label, answers in ask(_turns(parts, f"{seed}/{number}/{name}")).items():
                found.setdefault(f"{label}, {name}", []).append(_sorted(answers))
    control = ask(_turns((("control", always, mixture.watched),), f"{seed}/control"))
    return found | {"control": [_sorted(control["control"])]}


def isolation(found: Mapping[str, list[list[Seen]]], decisions: Mapping[str, str]) -> dict[str, Any]:
    """How many texts differ between loads, against how many differ between repetitions of the same load.

    A watched question that the guard flagged by mistake is left out.
    """
    mistaken = {
        seen.question.key
        for answers in (*found["watched, mixed"], *found["watched, alone"])
        for seen in answers
        if decisions.get(seen.request) != "pass"
    }
    alone = [[s for s in answers if s.question.key not in mistaken] for answers in found["watched, alone"]]
    mixed = [[s for s in answers if s.question.key not in mistaken] for answers in found["watched, mixed"]]
    control = [[s for s in answers if s.question.key not in mistaken] for answers in found["control"]]
    again = [*alone[1:], alone[0]]
    flagged = [seen for answers in found["flagged, mixed"] for seen in answers]
    return {
        "concurrency": CONCURRENCY,
        "rounds": ROUNDS,
        "watched": len(alone[0]),
        "flagged by mistake": len(mistaken),
        "unflagged, flagged neighbours against none": _differing(mixed, alone),
        "unflagged, no flagged neighbours, repeated": _differing(alone, again),
        "flagged, unflagged neighbours against flagged ones": _differing(
            found["flagged, mixed"], found["flagged, flagged only"]
        ),
        "control: watched questions, all flagged": _differing(control, alone[:1]),
        "flagged under load": rate(sum(decisions.get(seen.request) == "intervene" for seen in flagged), len(flagged)),
        "not answered": sum(seen.status != 200 for answers in found.values() for each in answers for seen in each),
    }


def _differing(left: Sequence[Sequence[Seen]], right: Sequence[Sequence[Seen]]) -> dict[str, Any]:
    """Pairs whose texts differ, and the largest difference of a log-probability before texts part."""
    pairs = [pair for a, b in zip(left, right, strict=True) for pair in zip(a, b, strict=True)]
    scores = [abs(x - y) for a, b in pairs if a.text == b.text for x, y in zip(a.logprobs, b.logprobs, strict=False)]
    largest = max(scores, default=None)
    return {"texts": rate(sum(a.text != b.text for a, b in pairs), len(pairs)), "largest logprob difference": largest}


def _turns(parts: Sequence[tuple[str, Server, Sequence[Question]]], salt: str) -> list[Turn]:
    fields = {**FIELDS, "cache_salt": salt}
    turns = [Turn(label, server, question, fields) for label, server, asked in parts for question in asked]
    random.Random(salt).shuffle(turns)
    return turns


def _sorted(answers: Sequence[Seen]) -> list[Seen]:
    return sorted(answers, key=lambda seen: seen.question.key)
