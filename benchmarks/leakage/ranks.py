"""How far up the channels of an arm put the true answer among candidates that the client did not offer it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from math import inf
from typing import Any

from benchmarks.leakage.ask import Asked
from benchmarks.leakage.client import Answered
from benchmarks.metrics.exposure import exposures
from benchmarks.metrics.ranking import chance, ranking


def candidate_ranks(arm: Asked) -> dict[str, dict[str, float]]:
    """Per family whose probes name candidates: mean reciprocal rank and top-1 of the truth, and what chance gives.

    A channel that shows log-probabilities scores a candidate by the best one of a token that begins it, at the place
    where the answer comes next; any other by the number of answers that say it. A refused probe tells nothing.
    """
    found: dict[str, list[tuple[list[float], int]]] = {}
    for answered in arm.forget:
        if answered.probe.candidates:
            truth = answered.probe.candidates.index(answered.probe.item.values[0])
            found.setdefault(answered.probe.family, []).append((_scores(answered), truth))
    result = {}
    for name, items in found.items():
        guessed = chance(len(items[0][0]))
        told = {**asdict(ranking(items)), "chance_mrr": guessed.mrr, "chance_top_1": guessed.top_1}
        result[name] = {key: round(float(value), 4) for key, value in told.items()}
    return result


def _scores(answered: Answered) -> list[float]:
    offered = answered.probe.candidates
    reply = answered.replies[-1]
    if reply.status != 200:
        return [-inf] * len(offered)
    shown = [tokens for choice in reply.body.get("choices") or () for tokens in _next(choice)]
    if shown:
        return [max((lp for tokens in shown for t, lp in tokens if _begins(t, one)), default=-inf) for one in offered]
    return [float(len({hit.choice for hit in exposures(reply.body, (one,))})) for one in offered]


def _next(choice: Mapping[str, Any]) -> Iterator[list[tuple[str, float]]]:
    """(token, log-probability) of all tokens that a choice shows for its first place."""
    shown = choice.get("logprobs") or {}
    if shown.get("content"):
        first = shown["content"][0]
        yield [(entry["token"], entry["logprob"]) for entry in (first, *(first.get("top_logprobs") or ()))]
    elif shown.get("tokens"):
        top = (shown.get("top_logprobs") or [None])[0] or {}
        yield [(shown["tokens"][0], shown["token_logprobs"][0]), *top.items()]


def _begins(token: str, candidate: str) -> bool:
    letters = token.replace("Ġ", " ").replace("▁", " ").strip()
    return bool(letters) and candidate.startswith(letters)
