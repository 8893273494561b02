"""What a model answers to the questions of one set, and how likely it finds the true and the wrong answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.metrics.membership import min_k
from benchmarks.metrics.probability import among_options, loss
from benchmarks.metrics.rouge import Rouge, Rouger
from benchmarks.metrics.scoring import Pair, pair, score
from benchmarks.metrics.truth_ratio import truth_ratio
from benchmarks.tofu.data import Question
from steering.engine.local.model import Edit, LocalModel

BATCH = {"cpu": 8, "cuda": 64}
"""Sequences that are run together."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One question under one arm.

    Attributes:
        loss: of the true answer, nats per token, end token included.
        share: probability of the true answer among the options; None for a set without options.
        ratio: geometric truth ratio.
        correct: [T] per token of the true answer without the end token, whether the arg-max is right.
        min_k: of the true answer without the end token.
        said: greedy answer; `rouge` is its score against the true one, stemmed.
        edited: whether the prompt was corrupted.
    """

    loss: float
    share: float | None
    ratio: float
    correct: tuple[bool, ...]
    min_k: float
    said: str
    rouge: Rouge
    edited: bool


def answer(
    model: LocalModel,
    questions: Sequence[Question],
    edits: Sequence[Edit | None],
    new_tokens: int,
    *,
    options: bool = False,
) -> list[Answered]:
    """Score and ask every question; `options`: true and wrong answers are alternatives, as in TOFU's short sets."""
    if not questions:
        return []
    prompts = [model.chat_ids(question.text) for question in questions]
    pairs: list[Pair] = []
    for question, ids, edit in zip(questions, prompts, edits, strict=True):
        pairs += [pair(model, ids, text, edit) for text in (question.answer, question.reference, *question.wrong)]
    batch = BATCH[model.device.type]
    scored = iter(score(model, pairs, batch_size=batch))
    answers = model.generate(prompts, edits, max_tokens=new_tokens, batch_size=batch)
    said = [model.tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]
    rouger, found = Rouger(use_stemmer=True), []
    for question, text, edit in zip(questions, said, edits, strict=True):
        true, reference = next(scored), next(scored)
        wrong = [loss(next(scored).logprobs) for _ in question.wrong]
        own = loss(true.logprobs)
        found.append(
            Answered(
                loss=own,
                share=among_options(own, wrong) if options else None,
                ratio=truth_ratio(loss(reference.logprobs), wrong, "geometric"),
                correct=tuple(map(bool, true.body.correct)),
                min_k=min_k(true.body.logprobs),
                said=text,
                rouge=rouger.score(question.answer, text),
                edited=edit is not None,
            )
        )
    return found


def memberships(model: LocalModel, questions: Sequence[Question]) -> list[float]:
    """Min-k of true answers to questions that no arm touches: the hold-out texts of a membership test."""
    pairs = [pair(model, model.chat_ids(q.text), q.answer, ended=False) for q in questions]
    return [min_k(scores.logprobs) for scores in score(model, pairs, batch_size=BATCH[model.device.type])]
