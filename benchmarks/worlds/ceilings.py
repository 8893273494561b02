"""Ceilings: what a model answers with nothing in front of it, per question form.

A probe family says something about forgetting only where the full model answers it, and only as an excess over what a
model answers that never saw the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.worlds.forms import FORMS, Probe, probes
from benchmarks.worlds.spec import Split
from benchmarks.worlds.world import World

BATCH = 128


@dataclass(frozen=True, slots=True)
class Rate:
    """Share of `n` answers whose text contains the value."""

    hits: int
    n: int

    @property
    def share(self) -> float:
        """Hits per question."""
        return self.hits / self.n


class Answers:
    """Answers of a model folder, in-process and in batches."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - heavy

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()

    @torch.inference_mode()
    def __call__(self, asked: Sequence[Probe], new_tokens: int = 48, seed: int = 0) -> list[str]:
        """One text per probe, without special tokens; a prefilled beginning is not part of it."""
        texts: list[str] = [""] * len(asked)
        order = sorted(range(len(asked)), key=lambda i: (asked[i].temperature, len(str(asked[i].messages))))
        torch.manual_seed(seed)
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            for temperature in sorted({asked[i].temperature for i in part}):
                rows = [i for i in part if asked[i].temperature == temperature]
                for i, text in zip(rows, self._batch([asked[i] for i in rows], temperature, new_tokens), strict=True):
                    texts[i] = text
        return texts

    def _batch(self, asked: Sequence[Probe], temperature: float, new_tokens: int) -> list[str]:
        prompts = [self._prompt(probe) for probe in asked]
        batch = self.tokenizer(prompts, add_special_tokens=False, padding=True, return_tensors="pt")
        batch = batch.to(self.network.device)
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
        out = self.network.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            max_new_tokens=new_tokens,
            **({"do_sample": False} | sampling),
        )
        answers = out[:, batch.input_ids.shape[1] :]
        return list(self.tokenizer.batch_decode(answers, skip_special_tokens=True))

    def _prompt(self, probe: Probe) -> str:
        messages, begun = [dict(message) for message in probe.messages], probe.messages[-1]["role"] == "assistant"
        return str(
            self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=not begun, continue_final_message=begun
            )
        )


def answered(text: str, values: Sequence[str]) -> bool:
    """Whether a value stands in the text, whatever its case; the values of a world need nothing finer."""
    return any(value.casefold() in text.casefold() for value in values)


def ceiling(model: Answers, world: World, form: str, split: Split = "forget", new_tokens: int = 48) -> Rate:
    """Rate of one form about all items of a split."""
    asked = [probe for _, probe in probes(world, form, world.items(split))]
    texts = model(asked, new_tokens)
    return Rate(sum(answered(text, probe.values) for text, probe in zip(texts, asked, strict=True)), len(asked))


def ceilings(folder: Path, world: World, split: Split = "forget", device: str = "cpu") -> dict[str, Rate]:
    """Rates of all forms, shown with a progress bar on standard error."""
    from rich.console import Console  # noqa: PLC0415 - only where progress is shown
    from rich.progress import track  # noqa: PLC0415 - only where progress is shown

    model = Answers(folder, device)
    names = track(FORMS, f"asking {folder.name}", console=Console(stderr=True))
    return {name: ceiling(model, world, name, split) for name in names}
