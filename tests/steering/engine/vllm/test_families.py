"""Families of models besides Llama: a tiny random one of each, under a corruption, an edit and a logit difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from steering.engine.local.model import Edit, LocalModel
from steering.program import AnyProgram
from tests.steering.engine.local.conftest import program as corruption
from tests.steering.engine.local.test_assistants import difference
from tests.steering.engine.vllm.driver import Ask, start
from tests.steering.engine.vllm.test_assistants import agree, table
from tests.steering.engine.vllm.test_edit import redirect
from tests.steering.engine.vllm.test_isolation import prompt

pytestmark = pytest.mark.vllm

FAMILIES = ("Qwen2", "Qwen3", "Mistral")
SPANS = [4, 11, 30, 36]


def random_model(family: str, tokenizer: Path, folder: Path) -> Path:
    """A model of three layers in float32, whose biases are not zero."""
    import transformers

    config = getattr(transformers, f"{family}Config")(
        vocab_size=3072,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=512,
        tie_word_embeddings=family == "Qwen3",
        initializer_range=0.08,
        sliding_window=None,
        dtype="float32",
    )
    torch.manual_seed(1)
    network = getattr(transformers, f"{family}ForCausalLM")(config).float()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_the_logits_of_the_local_engine(family: str, tiny_model: Path, tmp_path: Path) -> None:
    folder = random_model(family, tiny_model, tmp_path)
    local = LocalModel.load(folder)
    programs: list[AnyProgram] = [corruption(local), redirect(folder, layer=1), difference(local, "twin")]
    sites: dict[str, Any] = {"edit": {"layers": [1], "columns": 1}, "assistants": [2, 2]}
    options: dict[str, Any] = {"logprobs_mode": "raw_logits", "additional_config": {"lethe": sites}}
    with start(str(folder), **options) as engine:
        assert engine.error is None, engine.error
        asks = [Ask(prompt(0, 50), options={"max_tokens": 6, "logprobs": -1})]
        edits: list[Edit | None] = [None]
        for i, program in enumerate(programs):
            name = f"p95000{i}@1"
            ids, order = prompt(i, 50), [name, engine.load(name, program.to_bytes()), 1.0, SPANS]
            asks.append(Ask(ids, order, options=asks[0].options))
            edits.append(Edit(program, 1.0, tuple(SPANS), prompt=len(ids)))
        answers = engine.run(asks)
    for ask, edit, got in zip(asks, edits, answers, strict=True):
        assert got.finish == ["length"]
        (want,) = local.logits([ask.ids + got.tokens[0]], [edit])
        agree(table(got.logprobs[0]), want[len(ask.ids) - 1 : -1])
