"""Ceilings: what a model answers with nothing in front of it, per probe family, in this process.

A family says something about forgetting only where the full model answers it, and only as an excess over what a model
answers that never saw the facts. The benchmark records the ceilings of a served model itself; these here tell after
training, within a minute, whether a model is worth serving.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.metrics.leak import leaks
from benchmarks.probes.registry import FAMILIES, probes
from benchmarks.probes.spec import Probe
from benchmarks.worlds.spec import Split
from benchmarks.worlds.world import World

BATCH = 128
ASKED = (
    "direct",
    "paraphrase",
    "pen_name",
    "lower_case",
    "typo_1",
    "polite_prefix",
    "suffix",
    "jailbreak_prefix",
    "mixed_2_forget_first",
    "follow_up",
    "in_context",
    "few_shot",
    "inverse_book",
    "prefill",
    "via_book",
    "country",
    "translated_de",
    "sample_direct",
)
"""Families of chats. Of several samples the first is looked at."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Share of `n` probes whose last answer tells the value."""

    hits: int
    n: int

    @property
    def share(self) -> float:
        """Hits per probe."""
        return self.hits / self.n


class Answers:
    """Answers of a model folder, in-process and in batches."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - heavy

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()

    def __call__(self, asked: Sequence[Probe], new_tokens: int = 48, seed: int = 0) -> list[str]:
        """The last answer to each probe, without special tokens; a prefilled beginning is not part of it."""
        torch.manual_seed(seed)
        talks: list[list[dict[str, Any]]] = [[] for _ in asked]
        texts = [""] * len(asked)
        for step in range(max(len(probe.steps) for probe in asked)):
            going = [i for i, probe in enumerate(asked) if len(probe.steps) > step]
            for i in going:
                talks[i] += asked[i].steps[step]["messages"]
            heat = {i: float(asked[i].steps[step].get("temperature", 0.0)) for i in going}
            going.sort(key=lambda i: (heat[i], len(str(talks[i]))))
            for start in range(0, len(going), BATCH):
                part = going[start : start + BATCH]
                for temperature in sorted({heat[i] for i in part}):
                    rows = [i for i in part if heat[i] == temperature]
                    answers = self._batch([talks[i] for i in rows], temperature, new_tokens)
                    for i, text in zip(rows, answers, strict=True):
                        texts[i] = text
            for i in going:
                talks[i].append({"role": "assistant", "content": texts[i]})
        return texts

    @torch.inference_mode()
    def _batch(self, talks: Sequence[list[dict[str, Any]]], temperature: float, new_tokens: int) -> list[str]:
        batch = self.tokenizer(
            [self._prompt(talk) for talk in talks], add_special_tokens=False, padding=True, return_tensors="pt"
        ).to(self.network.device)
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
        out = self.network.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            max_new_tokens=new_tokens,
            **({"do_sample": False} | sampling),
        )
        return list(self.tokenizer.batch_decode(out[:, batch.input_ids.shape[1] :], skip_special_tokens=True))

    def _prompt(self, talk: list[dict[str, Any]]) -> str:
        begun = talk[-1]["role"] == "assistant"
        return str(
            self.tokenizer.apply_chat_template(
                talk, tokenize=False, add_generation_prompt=not begun, continue_final_message=begun
            )
        )


def ceiling(model: Answers, world: World, family: str, split: Split = "forget", new_tokens: int = 48) -> Rate:
    """Rate of one family about all items of a split."""
    asked = probes(FAMILIES[family], world, world.items(split))
    told = [
        leaks(text, probe.values or probe.item.values, probe.question)
        for text, probe in zip(model(asked, new_tokens), asked, strict=True)
    ]
    return Rate(sum(told), len(told))


def ceilings(folder: Path, world: World, device: str = "cpu") -> dict[str, Rate]:
    """Rates of the families in ASKED about the forget authors, with a progress bar on standard error."""
    from rich.console import Console  # noqa: PLC0415 - only where progress is shown
    from rich.progress import track  # noqa: PLC0415 - only where progress is shown

    model = Answers(folder, device)
    names = track(ASKED, f"asking {folder.name}", console=Console(stderr=True))
    return {name: ceiling(model, world, name) for name in names}


def write_ceilings(out: Path, folders: Mapping[str, Path], world: World) -> None:
    """Measure full and retain-a, print a table, and write `ceilings.json`: model -> family -> hits and n."""
    from rich.console import Console  # noqa: PLC0415 - only where progress is shown
    from rich.table import Table  # noqa: PLC0415 - only where progress is shown

    rates = {name: ceilings(folders[name], world) for name in ("full", "retain-a")}
    table = Table("family", "n", *rates)
    for family, rate in rates["full"].items():
        table.add_row(family, str(rate.n), *(f"{rates[name][family].share:.3f}" for name in rates))
    Console().print(table)
    written = {name: {family: asdict(rate) for family, rate in found.items()} for name, found in rates.items()}
    (out / "ceilings.json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
