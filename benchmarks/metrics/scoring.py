"""Per-token scores of answers, read in-process from the local engine, under an intervention or without.

No log-probability channel is opened for this: the model is a folder on disk, and an edit is applied as the local engine
applies it, so the scores are those of the distribution that an intervened request is answered from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from steering.engine.local.model import Edit, LocalModel

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Token ids of prompt and answer; the edit's spans lie in the prompt. `ended`: the last id is the end token."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    edit: Edit | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Scores of one answer of T tokens, teacher-forced; nats.

    Attributes:
        logprobs: [T] log p of each token.
        correct: [T] whether it is the arg-max.
        means, variances: [T] mean and variance of log p under the next-token distribution, for min-k++.
        ended: whether the last token is the end token. Probability and divergence count it; extraction, memorisation
            and membership do not: use `body`.
    """

    logprobs: Floats
    correct: NDArray[np.bool_]
    means: Floats
    variances: Floats
    ended: bool

    @property
    def body(self) -> TokenScores:
        """The same without the end token."""
        stop = len(self.logprobs) - self.ended
        return TokenScores(
            self.logprobs[:stop], self.correct[:stop], self.means[:stop], self.variances[:stop], ended=False
        )


def pair(
    model: LocalModel, prompt: Sequence[int], answer: str, edit: Edit | None = None, *, ended: bool = True
) -> Pair:
    """Pair of prompt ids (e.g. of `LocalModel.chat_ids`) and an answer text, tokenised apart as a server does.

    With `ended`, the tokeniser's end token closes the answer, as TOFU counts it.
    """
    ids = list(model.tokenizer(answer, add_special_tokens=False)["input_ids"])
    if ended:
        if model.tokenizer.eos_token_id is None:
            raise ValueError(f"the tokeniser of {model.name} names no end token; score with ended=False")
        ids.append(model.tokenizer.eos_token_id)
    return Pair(tuple(prompt), tuple(ids), edit, ended)


def score(model: LocalModel, pairs: Sequence[Pair], *, batch_size: int = 8, quiet: bool = False) -> list[TokenScores]:
    """Score every pair, in the order given; pairs of similar length are run together.

    A batch takes 4 * batch_size * tokens * vocabulary bytes. `quiet` shows no progress. Raises `ValueError` for a pair
    without tokens, beyond the model's context, or with an edit that reaches into the answer.
    """
    for number, each in enumerate(pairs):
        _check(model, number, each)
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i].prompt) + len(pairs[i].answer))
    batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    out: dict[int, TokenScores] = {}
    for rows in track(batches, "scoring answers", console=Console(stderr=True), disable=quiet):
        chosen = [pairs[i] for i in rows]
        logits = model.logits([[*p.prompt, *p.answer] for p in chosen], [p.edit for p in chosen])
        for i, each, values in zip(rows, chosen, logits, strict=True):
            out[i] = _scores(values[len(each.prompt) - 1 : -1], each)
    return [out[i] for i in range(len(pairs))]


def _check(model: LocalModel, number: int, each: Pair) -> None:
    total = len(each.prompt) + len(each.answer)
    if not each.prompt or not each.answer:
        raise ValueError(f"pair {number}: prompt and answer need at least one token each")
    if total > model.context:
        raise ValueError(f"pair {number}: {total} tokens do not fit the {model.context} of {model.name}")
    if each.edit is not None and max(each.edit.spans, default=0) > len(each.prompt):
        raise ValueError(f"pair {number}: the edit reaches into the answer; only prompts are edited when serving")


def _scores(logits: torch.Tensor, each: Pair) -> TokenScores:
    logs = torch.log_softmax(logits.double(), dim=1)
    chances = logs.exp()
    means = (chances * logs).sum(dim=1)
    variances = (chances * (logs - means[:, None]) ** 2).sum(dim=1)
    ids = torch.tensor(each.answer, device=logs.device)
    return TokenScores(
        logs.gather(1, ids[:, None])[:, 0].cpu().numpy(),
        (logs.argmax(dim=1) == ids).cpu().numpy(),
        means.cpu().numpy(),
        variances.cpu().numpy(),
        each.ended,
    )
