"""Probes through a gateway, and which policies acted on each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from benchmarks.leakage.client import Answered, ask_all
from benchmarks.leakage.score import Outcome, by_family
from benchmarks.probes.registry import probes
from benchmarks.probes.spec import Family, Probe
from benchmarks.probes.tokens import Encode, Render
from benchmarks.scale.gateways import Gateway
from benchmarks.worlds.spec import Item
from benchmarks.worlds.world import World


@dataclass(frozen=True, slots=True)
class Wording:
    """Tokeniser and chat template of a model, for probes that send what only these know."""

    encode: Encode
    render: Render

    @classmethod
    def load(cls, model: Path) -> Wording:
        """Read the tokeniser of a model folder."""
        from transformers import AutoTokenizer  # noqa: PLC0415 - heavy

        tokenizer: Any = AutoTokenizer.from_pretrained(model)

        def encode(text: str) -> list[int]:
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])

        def render(messages: Sequence[Mapping[str, Any]]) -> str:
            return str(tokenizer.apply_chat_template(messages, tokenize=False, continue_final_message=True))

        return cls(encode, render)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers in the order of the probes; `acted` by request id."""

    answered: tuple[Answered, ...]
    acted: Mapping[str, frozenset[str]]

    def policies(self, answered: Answered) -> frozenset[str]:
        """Policies that acted in any step."""
        ids = (reply.headers.get("x-request-id", "") for reply in answered.replies)
        return frozenset[str]().union(*(self.acted.get(i, frozenset()) for i in ids))

    def outcomes(self) -> dict[str, list[Outcome]]:
        """What the answers tell, by family."""
        return by_family(self.answered)


def every(families: Iterable[Family], world: World, items: Sequence[Item]) -> list[Probe]:
    """The probes of all families about the items."""
    return [probe for family in families for probe in probes(family, world, items)]


def ask(gateway: Gateway, asked: Sequence[Probe], wording: Wording, bars: Progress, title: str) -> Answers:
    """Ask all probes, with a bar. Raises what `ask_all` raises."""
    task = bars.add_task(title, total=len(asked))
    answered = asyncio.run(ask_all(gateway.server, asked, partial(bars.advance, task), wording.encode, wording.render))
    answers = Answers(tuple(answered), gateway.acted())
    ids = {reply.headers.get("x-request-id", "") for one in answered for reply in one.replies}
    if missing := ids - set(answers.acted):
        raise RuntimeError(f"{len(missing)} of {len(ids)} answers have no record in {gateway.audit}")
    return answers
