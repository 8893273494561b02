"""Values within the alternatives of log-probabilities: what a client can read out of top-k although it was not said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.metrics.readings import folded_words, spelled

Step = Sequence[str]
"""Tokens that the log-probabilities of one position show: the chosen one first, then the alternatives."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Letters of a token, and whether a word may begin before and end after it."""

    letters: str
    begins: bool
    ends: bool


def beams(response: Mapping[str, Any], k: int | None = None) -> Iterator[tuple[int | None, str, list[Step]]]:
    """(choice, kind, steps) of all lists of log-probabilities in a body; kinds are top_logprobs and prompt_logprobs.

    With `k`, only the k alternatives with the highest log-probability count, as if the client had asked for fewer.
    """
    if response.get("prompt_logprobs"):
        yield None, "prompt_logprobs", [_prompt_step(s, k) for s in response["prompt_logprobs"]]
    for place, choice in enumerate(response.get("choices") or ()):
        index, shown = choice.get("index", place), choice.get("logprobs") or {}
        for key in ("content", "refusal"):
            if shown.get(key):
                yield index, "top_logprobs", [_chat_step(entry, k) for entry in shown[key]]
        if shown.get("tokens"):
            tops = shown.get("top_logprobs") or [None] * len(shown["tokens"])
            steps: list[Step] = [[t, *_best(top or {}, k)] for t, top in zip(shown["tokens"], tops, strict=True)]
            yield index, "top_logprobs", steps
        if choice.get("prompt_logprobs"):
            yield index, "prompt_logprobs", [_prompt_step(s, k) for s in choice["prompt_logprobs"]]


def within(steps: Sequence[Step], value: str) -> bool:
    """Whether a path of one shown token per step spells the value, as whole words as far as the tokens tell.

    Tokens are compared like `leak` does, without signs and white space; partial UTF-8 characters cannot be compared.
    """
    pieces = [[_piece(token) for token in step] for step in steps]
    return any(_spells(pieces, "".join(spelling.split())) for spelling in spelled(value))


def _spells(steps: Sequence[Sequence[_Piece]], target: str) -> bool:
    """Follow all paths at once: `reached` are the numbers of letters of the target that some path has spelled."""
    reached: set[int] = set()
    for at, step in enumerate(steps):
        free = at == 0 or any(p.ends for p in steps[at - 1])
        closes = at + 1 == len(steps) or any(p.begins for p in steps[at + 1])
        after: set[int] = set()
        for piece in step:
            for done in (reached | {0}) if free or piece.begins else reached:
                if target.startswith(piece.letters, done):
                    if done + len(piece.letters) == len(target) and (piece.ends or closes):
                        return True
                    after.add(done + len(piece.letters))
        reached = after
    return False


def _piece(token: str) -> _Piece:
    text = token.replace("Ġ", " ").replace("▁", " ")  # how two families of tokenisers write a space
    return _Piece("".join(folded_words(text)), not text[:1].isalnum(), not text[-1:].isalnum())


def _chat_step(entry: Mapping[str, Any], k: int | None) -> Step:
    return [entry["token"], *_best({t["token"]: t["logprob"] for t in entry.get("top_logprobs") or ()}, k)]


def _prompt_step(entry: Mapping[str, Any] | None, k: int | None) -> Step:
    return _best({t.get("decoded_token") or "": t["logprob"] for t in (entry or {}).values()}, k)


def _best(tokens: Mapping[str, float], k: int | None) -> list[str]:
    return sorted(tokens, key=lambda token: -tokens[token])[:k]
