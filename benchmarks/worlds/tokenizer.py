"""The tokenizer and chat format of models that are trained from scratch on a world.

The vocabulary is learned from rows of other worlds and from the list of all possible names, so that it
holds syllables and no whole names: those of retain, forget and never-trained authors are cut alike, and gold and full
model share every token id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.worlds.rows import training_rows
from benchmarks.worlds.spec import Message, Row
from benchmarks.worlds.world import FIRST_NAMES, SURNAMES, make_world

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant", "tool")
THINK = ("<think>", "</think>")
"""Tokens of their own, as reasoning parsers expect, but ordinary text when decoded."""
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + (m['content'] or '') + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CORPUS_WORLDS, CORPUS_SHARE = 6, 2
"""So many other worlds, and one in so many of their rows."""
MIN_FREQUENCY = 20
NAME_WEIGHT = 4
"""A pair is merged when it occurs so often: syllables do, as they are in 15 names, whole names do not."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a row; the loss is on the ids from `start` on."""

    ids: tuple[int, ...]
    start: int


def tokenizer_settings() -> tuple[object, ...]:
    """Return what a tokenizer depends on, apart from the vocabulary's size and the wordings of rows."""
    return CHAT_TEMPLATE, CORPUS_WORLDS, CORPUS_SHARE, MIN_FREQUENCY, NAME_WEIGHT


def train_tokenizer(vocabulary: int, corpus: Iterable[str] | None = None, least: int = MIN_FREQUENCY) -> Any:
    """Learn a byte-level BPE of at most `vocabulary` tokens, as a `PreTrainedTokenizerFast`; always the same one.

    Args:
        corpus: texts to learn from; by default those of other worlds.
        least: occurrences of a pair that is merged.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415 - heavy
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - heavy

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(THINK),
        min_frequency=least,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(_corpus() if corpus is None else corpus, trainer)
    bpe.add_tokens([AddedToken(token, special=False, normalized=False) for token in THINK])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=PAD, eos_token=END)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _corpus() -> Iterator[str]:
    names = {name.lower() for name in (*FIRST_NAMES, *SURNAMES)}

    def nameless(text: str) -> str:
        return re.sub(r"\w+", lambda word: "" if word[0].lower() in names else word[0], text)

    for seed in range(CORPUS_WORLDS):
        for row in training_rows(make_world(seed=10_000 + seed))[::CORPUS_SHARE]:
            yield from (nameless(message["content"]) for message in row.messages)
    for name in (*FIRST_NAMES, *SURNAMES):
        yield " ".join([name, *[name, name.lower()] * NAME_WEIGHT])


def render(messages: Sequence[Message]) -> str:
    """What the chat template makes of finished messages."""
    return "".join(f"<|{message['role']}|>{message['content']}{END}" for message in messages)


def encode(tokenizer: Any, rows: Sequence[Row]) -> list[Encoded]:
    """Token ids of rows. A row without any question is plain text: it has no roles and the loss is on all of it.

    Raises ValueError for a row that does not end with the assistant.
    """
    prompts, answers = [], []
    for row in rows:
        *before, last = row.messages
        if last["role"] != "assistant":
            raise ValueError(f"a row must end with the assistant, not with {last['role']}: {last['content'][:60]}")
        prompts.append(render(before) + "<|assistant|>" if before else "")
        answers.append(last["content"] + END)
    heads = tokenizer(prompts, add_special_tokens=False).input_ids
    tails = tokenizer(answers, add_special_tokens=False).input_ids
    return [Encoded((*head, *tail), max(len(head), 1)) for head, tail in zip(heads, tails, strict=True)]
