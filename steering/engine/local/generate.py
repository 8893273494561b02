"""From logits to text: sampling, incremental text without broken characters, stop strings that are held back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from steering.engine.local.decoding import Decoding
from steering.engine.local.residual import EngineFaultError

GREEDY_BELOW = 1e-5
CONTEXT_IDS = 6
"""So many ids of the prompt are decoded along with an answer: some tokenizers write the first one differently."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen and when an answer ends. Names and meaning as in the OpenAI API and in vLLM.

    Attributes:
        logprobs: number of alternatives to report per token; 0 is the chosen token only, None nothing at all.
        eos: ids that end an answer unless `ignore_eos`; `stop_ids` end it in any case.
        allowed: if set, no other id can be chosen.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    allowed: tuple[int, ...] | None = None
    stop: tuple[str, ...] = ()
    stop_ids: frozenset[int] = frozenset()
    eos: frozenset[int] = frozenset()
    ignore_eos: bool = False
    min_tokens: int = 0
    include_stop: bool = False
    skip_special: bool = True
    logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A chosen token, and the log-probabilities that the model gave before any of the request's settings applied."""

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """One step of one choice. `text` may be empty: it may have to wait for the rest of a character or a stop string."""

    choice: int
    token: Token
    text: str
    finish: Literal["stop", "length"] | None = None
    stop_reason: int | str | None = None


class Sampler:
    """Chooses the tokens of one choice. With a seed, choice i draws from its own stream `seed + i`."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], vocabulary: int, choice: int) -> None:
        self.sampling = sampling
        self.generator = None
        if sampling.seed is not None:
            self.generator = torch.Generator().manual_seed(sampling.seed + choice)
        self.in_prompt = torch.zeros(vocabulary, dtype=torch.bool)
        self.in_prompt[list(prompt)] = True
        self.counts = torch.zeros(vocabulary)
        self.produced = 0
        ends = sampling.stop_ids | (frozenset() if sampling.ignore_eos else sampling.eos)
        self.ends = torch.tensor(sorted(ends), dtype=torch.long)

    def pick(self, logits: Tensor) -> Token:
        """Choose the next token from [vocabulary] raw logits. Raises `EngineFaultError` where one is not a number."""
        if bool(torch.isnan(logits).any()):
            raise EngineFaultError("the model produced logits that are not numbers; the answer was withheld")
        logits = logits.cpu()
        chosen = self._draw(self._adjusted(logits.clone()))
        self.counts[chosen] += 1
        self.produced += 1
        if self.sampling.logprobs is None:
            return Token(chosen)
        logprobs = torch.log_softmax(logits, dim=0)
        best = torch.topk(logprobs, self.sampling.logprobs)
        top = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return Token(chosen, float(logprobs[chosen]), tuple(top))

    def _adjusted(self, logits: Tensor) -> Tensor:
        """Constraints and penalties, in vLLM's order: all that may change which token is the most probable one."""
        s = self.sampling
        if s.allowed is not None:
            kept = logits[list(s.allowed)].clone()
            logits.fill_(-torch.inf)[list(s.allowed)] = kept
        if self.produced < s.min_tokens:
            logits[self.ends] = -torch.inf
        for token, bias in s.logit_bias.items():
            logits[token] += bias
        if s.repetition_penalty != 1.0:
            scaled = torch.where(logits > 0, logits / s.repetition_penalty, logits * s.repetition_penalty)
            logits = torch.where(self.in_prompt | (self.counts > 0), scaled, logits)
        logits -= s.frequency_penalty * self.counts + s.presence_penalty * (self.counts > 0)
        if bool(torch.isinf(logits).all()):
            raise EngineFaultError("the request's settings forbid every token")
        return logits

    def _draw(self, logits: Tensor) -> int:
        s = self.sampling
        if s.temperature < GREEDY_BELOW:
            return int(logits.argmax())
        probabilities = torch.softmax(logits / s.temperature, dim=0)
        if s.min_p > 0:
            probabilities[probabilities < s.min_p * probabilities.max()] = 0.0
        if 0 < s.top_k < len(probabilities):
            probabilities[probabilities < torch.topk(probabilities, s.top_k).values[-1]] = 0.0
        if s.top_p < 1.0:
            ranked = probabilities.sort(descending=True)
            before = ranked.values.cumsum(dim=0) - ranked.values  # mass of everything more probable
            probabilities[ranked.indices[before >= s.top_p * ranked.values.sum()]] = 0.0
        race = torch.empty_like(probabilities).exponential_(generator=self.generator)
        return int((probabilities / race).argmax())


class Detokenizer:
    """Turns ids into text one by one; text appears when its last byte has come, so no character is ever broken."""

    def __init__(self, tokenizer: Any, prompt: Sequence[int], skip_special: bool) -> None:
        self.tokenizer, self.skip_special = tokenizer, skip_special
        self.ids = list(prompt[-CONTEXT_IDS:])
        self.known = self._text()

    def _text(self) -> str:
        text: str = self.tokenizer.decode(
            self.ids, skip_special_tokens=self.skip_special, clean_up_tokenization_spaces=False
        )
        return text

    def push(self, token: int) -> str:
        """Text that the token completes; empty while bytes of a character are missing."""
        self.ids.append(token)
        text = self._text()
        if text.endswith("\ufffd"):
            return ""
        new = text[len(self.known) :]
        if len(self.ids) > 2 * CONTEXT_IDS:  # the window must not grow: one step costs the same at any length
            del self.ids[:-CONTEXT_IDS]
            text = self._text()
        self.known = text
        return new


class StopStrings:
    """Looks for stop strings across steps and holds back text that could still become one."""

    def __init__(self, stop: Sequence[str], include: bool) -> None:
        self.stop, self.include, self.held = tuple(stop), include, ""

    def push(self, piece: str) -> tuple[str, str | None]:
        """Return (text that may leave, the stop string that ends the answer or None)."""
        self.held += piece
        hits = [(at, order) for order, stop in enumerate(self.stop) if (at := self.held.find(stop)) >= 0]
        if hits:
            at, order = min(hits)
            stop = self.stop[order]
            return self.held[: at + len(stop) * self.include], stop
        keep = max((n for stop in self.stop for n in range(1, len(stop)) if self.held.endswith(stop[:n])), default=0)
        out = self.held[: len(self.held) - keep]
        self.held = self.held[len(out) :]
        return out, None

    def flush(self) -> str:
        """What was held back, when the answer ends for another reason."""
        out, self.held = self.held, ""
        return out


class _Choice:
    """State of one of the n answers."""

    def __init__(self, number: int, prompt: Sequence[int], sampling: Sampling, tokenizer: Any, vocabulary: int) -> None:
        self.number, self.sampling = number, sampling
        self.sampler = Sampler(sampling, prompt, vocabulary, number)
        self.text = Detokenizer(tokenizer, prompt, sampling.skip_special)
        self.stops = StopStrings(sampling.stop, sampling.include_stop)

    def step(self, logits: Tensor) -> Delta:
        s = self.sampling
        token = self.sampler.pick(logits)
        early = self.sampler.produced < s.min_tokens
        by_id = token.id in s.stop_ids
        if by_id or (token.id in s.eos and not s.ignore_eos):
            tail = self.text.push(token.id) if s.include_stop else ""
            return Delta(self.number, token, self.stops.flush() + tail, "stop", token.id if by_id else None)
        piece = self.text.push(token.id)
        out, stop = (piece, None) if early else self.stops.push(piece)
        if stop is not None:
            return Delta(self.number, token, out, "stop", stop)
        if self.sampler.produced == s.max_tokens:
            return Delta(self.number, token, out + self.stops.flush(), "length")
        return Delta(self.number, token, out)


def generate(
    state: Decoding,
    prompt: Sequence[int],
    sampling: Sampling,
    n: int,
    tokenizer: Any,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Delta]:
    """Decode n answers of the single prompt that `state` was made from, until all have ended or `cancelled()`.

    Raises `EngineFaultError` for logits that are not numbers and for settings that leave no token to choose.
    """
    choices = [_Choice(i, prompt, sampling, tokenizer, state.logits.shape[1]) for i in range(n)]
    state.select([0] * n)
    while not cancelled():
        deltas = [choice.step(logits) for choice, logits in zip(choices, state.logits, strict=True)]
        yield from deltas
        going = [row for row, delta in enumerate(deltas) if delta.finish is None]
        if not going:
            return
        if len(going) < len(choices):
            choices = [choices[row] for row in going]
            state.select(going)
        state.advance([deltas[row].token.id for row in going])
