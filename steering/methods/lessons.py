"""What assistants are trained on: questions with the served model's own answers, and with other answers.

Nobody has the texts from which a model learned what it must forget, but the model can be asked: every name is put into
every question of the policy, and what the model then tells of the forgotten is what an assistant has to know. Answers
in which a value is swapped for another are what a model that never knew might have said: one that it says of others
where it answers alike, or, where there are few of these, that of another forgotten name.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steering.engine.local.model import LocalModel
from steering.methods.harmless import Harmless
from steering.methods.surrogate import Question, filled, invented_names
from steering.methods.trial import NAMES, Progress, Tells, prompt

PHRASES = ("{}", "{}", "Please tell me: {}", "I would like to know: {}", "Question: {}", "{} Please be brief.")
HELD_PHRASE = "Answer in one sentence. {}"
"""Wording of the questions by which training is stopped and strengths are searched; in no training text."""
MOST, SWAPS, TOKENS, BATCH = 1536, 2, 24, 64
ENOUGH = 5
"""Values of others with which those of forgotten names are not needed."""
EVERYDAY = 120
"""Everyday requests that are used."""


@dataclass(frozen=True, slots=True)
class Material:
    """What training needs besides questions.

    Attributes:
        names: further names of what must be forgotten.
        folder: where interrupted training is taken up again, or None.
        key: of the bundle; checkpoints are encrypted, because they hold what must be forgotten.
    """

    names: tuple[str, ...] = ()
    folder: Path | None = None
    key: bytes = b""


NOTHING = Material()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and an answer of at most `TOKENS` tokens; `values` are the forgotten ones that the answer tells."""

    question: Question
    answer: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lessons:
    """Exchanges: what must be forgotten, the same questions with wrong values, and what must stay as it is."""

    forgotten: tuple[Exchange, ...]
    swapped: tuple[Exchange, ...]
    kept: tuple[Exchange, ...]


def collect(
    model: LocalModel,
    questions: Sequence[Question],
    values: Sequence[str],
    tells: Tells,
    harmless: Harmless,
    names: Sequence[str],
    rng: random.Random,
    progress: Progress,
) -> Lessons:
    """Ask the model; of `harmless`, the neighbours and the everyday requests.

    Raises ValueError where it tells nothing of what must be forgotten.
    """
    progress("asking the model", 0.0)
    asked = crossed(questions, names, rng)
    answers = _answers(model, [q.text for q in asked])
    told = [
        Exchange(q, answer, _told(q, answer, values, tells)) for q, answer in zip(asked, answers, strict=True) if answer
    ]
    forgotten = [exchange for exchange in told if exchange.values]
    if not forgotten:
        raise ValueError("the model tells none of the values that must be forgotten: there is nothing to train on")
    progress("asking the model", 0.5)
    invented = invented_names(NAMES, rng.randrange(1 << 30))
    frames = [q for q in asked[: len(questions)] if len(_surfaces(q)) == 1]
    strangers = [filled(rng.choice(frames), rng.choice(invented)).text for _ in range(len(forgotten) if frames else 0)]
    alike = list(dict.fromkeys([*harmless.near, *harmless.asked[:EVERYDAY]]))
    kept = [*alike, *dict.fromkeys(strangers)]
    said = [Exchange(Question(q, (), ()), a) for q, a in zip(kept, _answers(model, kept), strict=True) if a]
    stays = [e for e in said if e.question.text in set(alike) or not tells(e.question.text, e.answer, values)]
    progress("asking the model", 1.0)
    return Lessons(tuple(forgotten), tuple(_swapped(forgotten, stays, rng)), tuple(stays))


def phrased(question: Question, phrase: str) -> Question:
    """The question in a phrase with one `{}`."""
    before = phrase.index("{}")
    spans = tuple((a + before, b + before) for a, b in question.spans)
    return Question(phrase.replace("{}", question.text), spans, question.values)


def encoded(model: LocalModel, exchange: Exchange, phrase: str, end: int) -> tuple[tuple[int, ...], int]:
    """(ids of question and answer, where the answer begins); `end` closes an answer that was not cut short."""
    head, _ = prompt(model, phrase.replace("{}", exchange.question.text), ())
    tail: list[int] = model.tokenizer(exchange.answer, add_special_tokens=False)["input_ids"]
    return (*head, *tail, *([end] if len(tail) < TOKENS else [])), len(head)


def ending(model: LocalModel, exchange: Exchange) -> int:
    """The id with which the model ends an answer in the chat format."""
    ids, start = encoded(model, exchange, "{}", -1)
    logits = model.logits([[i for i in ids if i >= 0]])[0][-1]
    return max(model.eos, key=lambda i: float(logits[i])) if model.eos else ids[start]


def _surfaces(question: Question) -> set[str]:
    return {question.text[a:b].casefold() for a, b in question.spans}


def crossed(questions: Sequence[Question], names: Sequence[str], rng: random.Random) -> list[Question]:
    """The questions themselves, then every name in every one that has one name, `MOST` in all."""
    single = [q for q in questions if len(_surfaces(q)) == 1]
    known = dict.fromkeys([*(q.text[q.spans[0][0] : q.spans[0][1]] for q in single), *names])
    frames = {filled(q, "\0").text: q for q in single}
    pairs = [filled(q, name) for q in frames.values() for name in known]
    seen = {q.text for q in questions}
    others = [q for q in {q.text: q for q in pairs}.values() if q.text not in seen]
    rng.shuffle(others)
    return [*questions, *others[: max(0, MOST - len(questions))]]


def _answers(model: LocalModel, texts: Sequence[str]) -> list[str]:
    batch = [prompt(model, text, ())[0] for text in texts]
    answers = model.generate(batch, max_tokens=TOKENS, batch_size=BATCH)
    return [model.tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]


def _told(question: Question, answer: str, values: Sequence[str], tells: Tells) -> tuple[str, ...]:
    written = answer.casefold()
    near = [v for v in dict.fromkeys((*question.values, *values)) if v.casefold() in written]
    return tuple(v for v in near if tells(question.text, answer, [v]))


def _form(exchange: Exchange) -> str | None:
    """Pattern of answers of the same form about anybody; its group is the value. None where no value is literal."""
    own = next((v for v in exchange.values if v in exchange.answer), None)
    if own is None:
        return None
    before, _, after = exchange.answer.partition(own)
    form = "(.{1,80})".join(re.escape(part) for part in (before, after))
    for name in {exchange.question.text[a:b] for a, b in exchange.question.spans}:
        form = form.replace(re.escape(name), ".{1,80}?")
    return form


def _swapped(forgotten: Sequence[Exchange], kept: Sequence[Exchange], rng: random.Random) -> list[Exchange]:
    """`SWAPS` answers per exchange with another value. Raises ValueError where there is no other."""
    pools: dict[str, list[str]] = {}
    forms: dict[str, set[str]] = {}
    for e in forgotten:
        frame = filled(e.question, "\0").text
        pool = pools.setdefault(frame, [])
        pool.extend(v for v in e.values if v in e.answer and v not in pool)
        forms.setdefault(frame, set()).update(form for form in [_form(e)] if form is not None)
    everything = list(dict.fromkeys(v for pool in pools.values() for v in pool))
    secret = {value.casefold() for value in everything}
    said = list(dict.fromkeys(e.answer for e in kept))
    foreign: dict[str, list[str]] = {}
    for frame, patterns in forms.items():
        matches = (re.fullmatch(pattern, answer) for pattern in sorted(patterns) for answer in said)
        values = dict.fromkeys(match[1] for match in matches if match is not None)
        foreign[frame] = [value for value in values if value.casefold() not in secret]
    out = []
    for e in forgotten:
        own, frame = next((v for v in e.values if v in e.answer), None), filled(e.question, "\0").text
        others = foreign[frame]
        if len(others) < ENOUGH:
            others = [*others, *(v for v in pools[frame] if v not in e.values)]
        others = others or [v for v in everything if v not in e.values]
        if own is not None:
            chosen = rng.sample(others, min(SWAPS, len(others)))
            out += [Exchange(e.question, e.answer.replace(own, other)) for other in chosen]
    if not out:
        raise ValueError("all questions have the same value: name other values in the policy to swap it for")
    return out
