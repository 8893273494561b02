"""What a model that never knew would say, word by word: the aims by which the columns of an edit are trained.

Whoever never learned a fact still knows how such a question is answered. So the model's own answer is kept, and for
each of its tokens the same question and answer are read about other subjects: where they make the token far less likely
it is a fact of this subject, and the aim is what the model says of the others there, without the fact itself; elsewhere
the aim is what the model says anyway. (Who is Harry Potter?, arXiv 2310.02238, replaces tokens of a text by generic
ones for the same reason and fine-tunes on it; here the model's own distributions are the text.) Others are the policy's
other names, because a model answers about invented ones in another form; where there are too few, invented ones.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from steering.engine.local.model import LocalModel
from steering.methods.lessons import BATCH, TOKENS, Exchange, ending
from steering.methods.surrogate import Question, filled, invented_names
from steering.methods.trial import NAMES, Progress, prompt
from steering.spec import Mask

OTHERS = 6
"""Other subjects that are read per question."""
FEWEST = 8
"""Names in a policy, below which invented ones stand for the others."""
TOP = 64
"""Tokens of an aim: the likeliest, as shares of one."""
SURE, RARE = 0.2, 0.5
"""A fact: the model gives its token at least this probability, and of others less than this part of it."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A question with the model's own answer, and what should be said instead.

    Attributes:
        ids: question in the chat format, answer, and the id that ends it.
        start: where the answer begins.
        spans: flat spans of the prompt in which a request would be edited.
        tokens, shares: [answer, TOP], the aim at each token of the answer.
        facts: [answer], bool, where a fact of the subject stands.
    """

    ids: tuple[int, ...]
    start: int
    spans: tuple[int, ...]
    tokens: Tensor
    shares: Tensor
    facts: Tensor

    def edited(self) -> Tensor:
        """[len(ids)], bool: the tokens that an edit treats, the answer among them."""
        chosen = torch.zeros(len(self.ids), dtype=torch.bool)
        for a, b in zip(self.spans[::2], self.spans[1::2], strict=True):
            chosen[a:b] = True
        chosen[self.start :] = True
        return chosen


@dataclass(frozen=True, slots=True)
class _Text:
    """A question and an answer as ids; `places`: character of the original answer -> (token of this one, its id)."""

    ids: list[int]
    start: int
    places: dict[int, tuple[int, int]]


def aims(
    model: LocalModel,
    questions: Sequence[Question],
    names: Sequence[str],
    mask: Mask,
    progress: Progress,
    seed: int = 0,
) -> list[Aim]:
    """One aim per question about a single name that the model answers. Raises ValueError where there is none."""
    rng = random.Random(seed)
    asked = [q for q in questions if len({q.text[a:b].casefold() for a, b in q.spans}) == 1]
    batch = [prompt(model, q.text, ())[0] for q in asked]
    answers = model.generate(batch, max_tokens=TOKENS, batch_size=BATCH)
    told = [model.tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]
    pairs = [Exchange(q, answer) for q, answer in zip(asked, told, strict=True) if answer.strip()]
    if not pairs:
        raise ValueError("training needs examples with one name each that the model answers; there are none")
    pool = names if len(names) >= FEWEST else invented_names(NAMES, rng.randrange(1 << 30))
    end, out = ending(model, pairs[0]), []
    for at, pair in enumerate(pairs):
        progress("reading about others", at / len(pairs))
        own = _surface(pair.question)
        others = [name for name in pool if name.casefold() not in own and own not in name.casefold()]
        out.append(_aim(model, pair, rng.sample(others, min(OTHERS, len(others))), mask, end))
    return out


def _aim(model: LocalModel, pair: Exchange, others: Sequence[str], mask: Mask, end: int) -> Aim:
    text, read = _text(model, pair, None, end), [_text(model, pair, name, end) for name in others]
    known, *unknown = (
        torch.softmax(logits[t.start - 1 : -1], dim=1)
        for logits, t in zip(model.logits([t.ids for t in (text, *read)]), (text, *read), strict=True)
    )
    answer = torch.tensor(text.ids[text.start :], device=known.device)
    wanted, facts = known.clone(), torch.zeros(len(answer), dtype=torch.bool)
    for place, (at, token) in text.places.items():
        alike = [(t.places.get(place, (0, -1)), rows) for t, rows in zip(read, unknown, strict=True)]
        rows = [rows[there] for (there, same), rows in alike if same == token]
        said = float(known[at, token])
        if rows and said > SURE and float((mean := torch.stack(rows).mean(dim=0))[token]) < RARE * said:
            mean[token] = 0.0
            wanted[at], facts[at] = mean, True
    shares, tokens = wanted.topk(min(TOP, wanted.shape[1]), dim=1)
    question = pair.question
    spans = prompt(model, question.text, question.spans if mask == "entities" else [(0, len(question.text))])[1]
    flat = tuple(spans) if mask != "prompt" else (0, text.start - 1)
    return Aim(tuple(text.ids), text.start, flat, tokens, shares / shares.sum(dim=1, keepdim=True), facts)


def _text(model: LocalModel, pair: Exchange, name: str | None, end: int) -> _Text:
    """The exchange, with the subject in it replaced by a name."""
    own, written = _surface(pair.question), pair.answer
    question = pair.question if name is None else filled(pair.question, name)
    said, kept, at = "", [], 0
    while True:
        found = written.casefold().find(own, at)
        until = len(written) if found < 0 else found
        kept.append((len(said), len(said) + until - at, at))
        said += written[at:until]
        if found < 0:
            break
        said += written[found : found + len(own)] if name is None else name
        at = found + len(own)
    head = prompt(model, question.text, ())[0]
    encoded = model.tokenizer(said, add_special_tokens=False, return_offsets_mapping=True)
    tail = encoded["input_ids"]
    places = {
        origin + a - first: (i, token)
        for i, ((a, b), token) in enumerate(zip(encoded["offset_mapping"], tail, strict=True))
        for first, last, origin in kept
        if first <= a and b <= last
    }
    if name is not None or len(tail) < TOKENS:  # an answer that was cut short has no end
        tail = [*tail, end]
        places[len(written)] = len(tail) - 1, end
    return _Text([*head, *tail], len(head), places)


def _surface(question: Question) -> str:
    a, b = question.spans[0]
    return question.text[a:b].casefold()
