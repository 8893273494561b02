"""Trying an intervention: what a model answers under it, against its own answers and those about invented names.

Every method's search measures with this. The target is a never-trained surrogate: the same model's answers to the same
questions about names that do not exist.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Generic, TypeVar

import torch

from steering.activation import Activation
from steering.assistant import Difference
from steering.engine.local.model import Edit, LocalModel
from steering.engine.mask import mark, pick_marks, token_spans, unmark
from steering.methods.surrogate import Question, invented_names, surrogate
from steering.program import AnyProgram, Program
from steering.spec import Mask

QUESTIONS = 20
TOKENS = 24
NAMES = 60
RUN = 3
"""Words of a run; a run that stands in an answer before counts as repetition."""

Progress = Callable[[str, float], None]
Tells = Callable[[str, str, Sequence[str]], bool]
FLUENCY = 0.1
"""What a nat per token of surprise weighs, against a share of answers that leak."""


@dataclass(frozen=True, slots=True)
class Point:
    """One strength that was tried: means over questions (and seeds), see `distance`.

    Attributes:
        leak: share of answers with any forgotten value; on data whose values are shared its chance level is high.
        own: share of answers with the value that was asked for.
        similarity: overlap with the model's own answer.
        topic: overlap with the question.
        repetition: share of runs of words that stood in the answer before.
        surprise: mean of -log p per token of the answers after their questions in the untouched model, in nats;
            0 where it was not measured.
        sampled: share of questions with the value asked for in any of 16 answers at temperature 1; 0 where it was not
            measured.
        kept: a logit difference: how many best tokens can be chosen in any case, masked ones not counted; else 0.
        layer: after which the edit acts; None for a corruption of embeddings.
    """

    strength: float
    distance: float
    leak: float
    own: float
    similarity: float
    topic: float = 0.0
    repetition: float = 0.0
    surprise: float = 0.0
    sampled: float = 0.0
    kept: float = 0.0
    layer: int | None = None


P = TypeVar("P", Program, Activation, Difference)


@dataclass(frozen=True, slots=True)
class Fitted(Generic[P]):
    """The program and how it was found.

    `check` was measured on questions with a name in them that the search never saw; `check_bare` are the same model's
    own answers to them, and `check_surrogate` those about invented names. `condition` says what opens a conditional
    edit.
    `curves`: of assistants that were trained, by role: per pass the losses on training texts, on held-out forgotten
    ones, and on held-out others.
    """

    program: P
    points: tuple[Point, ...]
    surrogate: Point
    check: Point
    check_bare: Point
    check_surrogate: Point
    searched: int
    checked: int
    condition: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[float, float, float]]] = field(default_factory=dict)


class Trial:
    """Questions with the bare model's answers to them and to their surrogates, and answers under any program.

    Attributes:
        bare, surrogate: figures of these answers.
        fluency: whether surprise is measured, which costs a forward pass per answer.
        twins: the questions about invented names.
    """

    def __init__(
        self,
        model: LocalModel,
        mask: Mask,
        values: Sequence[str],
        tells: Tells,
        questions: Sequence[Question],
        rng: random.Random,
        *,
        fluency: bool = False,
    ) -> None:
        self.model, self.mask, self.values, self.tells, self.questions = model, mask, values, tells, questions
        self.fluency = fluency
        names = invented_names(NAMES, rng.randrange(1 << 30))
        self.twins = [surrogate(q, names, rng) for q in questions]
        plain = [(q.text, ()) for q in questions]
        answers = self.answers([*plain, *((text, ()) for text in self.twins)], None)
        self.own, invented = answers[: len(plain)], answers[len(plain) :]
        self.surrogate = self.point(self.twins, invented)
        self.bare = self.point([q.text for q in questions], self.own)

    def ask(self, program: AnyProgram) -> Point:
        """Figures of the answers under a program."""
        answers = self.answers([(q.text, q.spans) for q in self.questions], program)
        return self.point([q.text for q in self.questions], answers)

    def answers(self, asked: Sequence[tuple[str, Sequence[tuple[int, int]]]], program: AnyProgram | None) -> list[str]:
        """Greedy answers to texts, each with the spans of its names."""
        batch, edits = [], []
        for text, spans in asked:
            ids, flat = prompt(self.model, text, spans if self.mask == "entities" else [(0, len(text))])
            if self.mask == "prompt":
                flat = [0, len(ids) - 1]
            batch.append(ids)
            edits.append(Edit(program, 1.0, tuple(flat)) if program else None)
        ids_out = self.model.generate(batch, edits, max_tokens=TOKENS)
        return [self.model.tokenizer.decode(ids, skip_special_tokens=True) for ids in ids_out]

    def point(self, asked: Sequence[str], answers: Sequence[str]) -> Point:
        """Figures of answers to these wordings of the questions."""
        told = []
        for text, answer, question in zip(asked, answers, self.questions, strict=True):
            leak = self.tells(text, answer, (*self.values, *question.values))
            own = self.tells(text, answer, question.values) if question.values else leak
            told.append((leak, own))
        return Point(
            strength=0.0,
            distance=0.0,
            leak=fmean(leak for leak, _ in told),
            own=fmean(own for _, own in told),
            similarity=fmean(overlap(a, b) for a, b in zip(answers, self.own, strict=True)),
            topic=fmean(overlap(a, b) for a, b in zip(answers, asked, strict=True)),
            repetition=fmean(repetition(answer) for answer in answers),
            surprise=surprise(self.model, list(zip(asked, answers, strict=True))) if self.fluency else 0.0,
        )


def distance(point: Point, target: Point) -> float:
    """How far from the surrogate: too like the model's own answers or too unlike them, and leaks beyond chance.

    Any value counts, as one that nobody asked for is a leak as well, and the one asked for once more: where many
    subjects share their values, half of the answers hold one by chance.
    """
    leaks = max(0.0, point.leak - target.leak) + max(0.0, point.own - target.own)
    return abs(point.similarity - target.similarity) + leaks


def spoiled(point: Point, target: Point) -> float:
    """What an intervention costs beyond the surrogate's answers, besides their `distance`: topic and flow of words."""
    off_topic, repeated = max(0.0, target.topic - point.topic), max(0.0, point.repetition - target.repetition)
    return off_topic + repeated + FLUENCY * max(0.0, point.surprise - target.surprise)


def overlap(a: str, b: str) -> float:
    """F1 of the words two texts have in common, in [0, 1]."""
    x, y = (Counter(re.findall(r"\w+", text.casefold())) for text in (a, b))
    common = sum((x & y).values())
    return 2 * common / (x.total() + y.total()) if common else 0.0


def repetition(text: str) -> float:
    """Share of runs of `RUN` words that stood in the text before, in [0, 1)."""
    words = re.findall(r"\w+", text.casefold())
    runs = [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def surprise(model: LocalModel, pairs: Sequence[tuple[str, str]]) -> float:
    """Mean of -log p per token of answers after their questions, in nats; 0 where all answers are empty."""
    total, count = 0.0, 0
    for question, answer in pairs:
        head = model.chat_ids(question)
        tail = model.tokenizer(answer, add_special_tokens=False)["input_ids"]
        if tail:
            (logits,) = model.logits([head + tail])
            chosen = torch.log_softmax(logits[len(head) - 1 : -1], dim=1)
            total -= float(chosen.gather(1, torch.tensor(tail, device=logits.device)[:, None]).sum())
            count += len(tail)
    return total / count if count else 0.0


def prompt(model: LocalModel, text: str, spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Token ids of a one-turn chat and the flat token spans of character ranges in the user's text."""
    body = {"messages": [{"role": "user", "content": text}]}
    marks = pick_marks(body)
    marked = mark(body, {"/messages/0/content": list(spans)}, marks)
    rendered = model.tokenizer.apply_chat_template(marked["messages"], tokenize=False, add_generation_prompt=True)
    plain, found = unmark(rendered, marks)
    encoded = model.tokenizer(plain, add_special_tokens=False, return_offsets_mapping=True)
    return encoded["input_ids"], token_spans(encoded["offset_mapping"], found)
