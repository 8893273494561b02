"""A batch of sequences between two tokens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from steering.engine.local.assistants import Lane
from steering.engine.local.residual import Push, steered

Pick = Callable[[Tensor, Sequence[int]], Sequence[int]]
"""(logits [rows, vocabulary] of the rows that go on, numbers of these rows) -> the next token of each."""


class Decoding:
    """A batch between two tokens: KV cache, padding and the logits of the next token. Made by `LocalModel.prefill`.

    Attributes:
        logits: [rows, vocabulary], float32; of the token that comes next in each row.
        edited: per row, how many tokens of the prompt were treated.
        pushes: per row, what is done to every token that is decoded.
        lanes: assistants whose difference is taken from the logits.
    """

    def __init__(
        self,
        network: Any,
        cache: Any,
        mask: Tensor,
        logits: Tensor,
        edited: list[int],
        pushes: list[Push | None],
        lanes: Sequence[Lane] = (),
    ) -> None:
        self.network, self.cache, self.mask, self.logits = network, cache, mask, logits
        self.edited, self.pushes, self.lanes = edited, pushes, lanes

    @torch.inference_mode()
    def advance(self, tokens: Sequence[int]) -> None:
        """Append one token to every row and compute the logits of the next."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        inputs = {
            "input_ids": torch.tensor(tokens, device=self.mask.device)[:, None],
            "attention_mask": padding(self.mask),
            "position_ids": self.mask.sum(dim=1, keepdim=True) - 1,
        }
        with steered(self.network, self.pushes, self.mask[:, -1:].bool()):
            out = self.network(**inputs, past_key_values=self.cache, use_cache=True)
        logits = out.logits[:, -1:].float()
        for lane in self.lanes:
            logits = lane.merge(logits, **inputs)
        self.logits = logits[:, -1]

    def run(self, pick: Pick, ends: Collection[int], most: Sequence[int]) -> list[list[int]]:
        """Decode every row until it ends or has as many tokens as `most` says: ids without the one that ended it.

        Rows that have ended are dropped.
        """
        answers: list[list[int]] = [[] for _ in most]
        alive = list(range(len(answers)))
        while True:
            tokens = pick(self.logits, alive)
            going = []
            for row, (i, token) in enumerate(zip(alive, tokens, strict=True)):
                if token not in ends and len(answers[i]) < most[i]:
                    answers[i].append(token)
                    if len(answers[i]) < most[i]:
                        going.append(row)
            if not going:
                return answers
            if len(going) < len(alive):
                alive = [alive[row] for row in going]
                self.select(going)
            self.advance([tokens[row] for row in going])

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be repeated."""
        index = torch.tensor(rows, device=self.mask.device)
        self.cache.reorder_cache(index)
        self.mask, self.logits = self.mask[index], self.logits[index]
        self.edited = [self.edited[row] for row in rows]
        self.pushes = [self.pushes[row] for row in rows]
        for lane in self.lanes:
            lane.select(rows, index)


def padding(mask: Tensor) -> Tensor | None:
    """The mask where some row is padded, else None, which lets attention take its faster causal path."""
    return None if bool(mask.all()) else mask
