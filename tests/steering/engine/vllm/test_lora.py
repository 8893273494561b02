"""E1 and E2 of both kinds of edits beside LoRA adapters: batches, chunks, preemption, prefix cache, several choices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from steering.engine.local.model import Edit, LocalModel
from steering.program import AnyProgram
from tests.steering.engine.vllm.conftest import MakeProgram
from tests.steering.engine.vllm.driver import Ask, Engine, start
from tests.steering.engine.vllm.test_edit import CONFIG, SPANS, cast, nullspace, projection, redirect
from tests.steering.engine.vllm.test_isolation import close, differs, prompt

pytestmark = pytest.mark.vllm

# One place more than adapters: vLLM 0.32 on a CPU gives rows without an adapter the number -1, and so the weights of
# the last place, whenever another row of the batch has one (vllm-project/vllm, pull request 48421). In a full table
# they answer wrongly, with and without the plug-in.
LORA: dict[str, Any] = {"enable_lora": True, "max_lora_rank": 8, "max_loras": 3, "additional_config": CONFIG}
RANK = 4


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two adapters of the tiny model's query and value projections."""
    folders = []
    for seed in range(2):
        folder, generator = tmp_path_factory.mktemp("adapter"), torch.Generator().manual_seed(seed)
        tensors = {}
        for layer in range(4):
            for part, size in (("q_proj", 256), ("v_proj", 128)):
                stem = f"base_model.model.model.layers.{layer}.self_attn.{part}"
                tensors[f"{stem}.lora_A.weight"] = 0.1 * torch.randn(RANK, 256, generator=generator)
                tensors[f"{stem}.lora_B.weight"] = 0.5 * torch.randn(size, RANK, generator=generator)
        save_file(tensors, folder / "adapter_model.safetensors")
        config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj", "v_proj"]}
        (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        folders.append(str(folder))
    return folders


@pytest.fixture(scope="module")
def beside(tiny_model: Path) -> Iterator[Engine]:
    """An engine with edit sites and adapters."""
    with start(str(tiny_model), **LORA) as engine:
        assert engine.error is None, engine.error
        assert engine.rpc("lethe_hello")["sites"] == ["embed", "layer.0", "layer.2"]
        yield engine


@pytest.fixture(scope="module")
def programs(tiny_model: Path, make_program: MakeProgram) -> dict[str, AnyProgram]:
    made = [make_program("noise", dims=64), *(make(tiny_model) for make in (redirect, projection, nullspace, cast))]
    return {f"p90000{i}@1": program for i, program in enumerate(made)}


@pytest.fixture(scope="module")
def heads(beside: Engine, programs: dict[str, AnyProgram]) -> list[list[Any]]:
    """Program and generation of each, the beginning of an order."""
    return [[name, beside.load(name, program.to_bytes())] for name, program in programs.items()]


def mixed(heads: list[list[Any]], adapters: list[str], length: int = 50, count: int = 18) -> list[Ask]:
    """Every third request unflagged, the others under the programs in turn; two of three under an adapter."""
    who = [None, *adapters]
    return [
        Ask(
            prompt(i, length),
            None if i % 3 == 0 else [*heads[i % len(heads)], 0.5 + i % 2, SPANS],
            adapter=who[(i // 3) % 3],
        )
        for i in range(count)
    ]


def test_every_row_of_a_mixed_batch_equals_its_solo_run(
    beside: Engine, heads: list[list[Any]], adapters: list[str]
) -> None:
    asks = mixed(heads, adapters)
    together = beside.run(asks)
    plain = beside.run([replace(ask, order=None) for ask in asks])
    base = beside.run([replace(ask, adapter=None) for ask in asks])
    for ask, got, unflagged, unadapted in zip(asks, together, plain, base, strict=True):
        assert close(got, beside.run([ask])[0])
        assert differs(got, unflagged) == (ask.order is not None)
        assert differs(got, unadapted) == (ask.adapter is not None)
        if ask.order is not None:
            assert got.record is not None
            assert got.record[3:] == [13, 0, "ok"]


def test_e1_unflagged_rows_keep_their_bits(
    beside: Engine, heads: list[list[Any]], adapters: list[str], tiny_model: Path
) -> None:
    asks = mixed(heads, adapters)
    plain = [replace(ask, order=None) for ask in asks]
    with start(str(tiny_model), plugin=False, **LORA) as bare:
        assert bare.error is None
        absent, repeated = bare.run(plain), bare.run(plain)
    assert absent == repeated, "the baseline does not repeat itself: the comparison would be void"
    assert beside.run(plain) == absent
    for ask, got, want in zip(asks, beside.run(asks), absent, strict=True):
        if ask.order is None:
            assert (got.tokens, got.logprobs) == (want.tokens, want.logprobs)


def test_chunks_preemption_and_cache_change_nothing(
    beside: Engine, heads: list[list[Any]], programs: dict[str, AnyProgram], adapters: list[str], tiny_model: Path
) -> None:
    asks = [replace(ask, options={"max_tokens": 60}) for ask in mixed(heads, adapters, length=90)]
    reference = beside.run(asks)
    small = {"max_model_len": 160, "max_num_batched_tokens": 48, "max_num_seqs": 8, "num_gpu_blocks_override": 13}
    with start(str(tiny_model), **LORA, **small) as other:
        assert other.error is None, other.error
        again = {name: other.load(name, program.to_bytes()) for name, program in programs.items()}
        orders = [ask.order and [ask.order[0], again[ask.order[0]], *ask.order[2:]] for ask in asks]
        moved = [replace(ask, order=order) for ask, order in zip(asks, orders, strict=True)]
        got = other.run(moved)
        assert other.metric("vllm:num_preemptions") > 0
        cached = [other.run([ask], reset=False)[0] for ask in moved[-2:]]
        warm = [other.run([ask], reset=False)[0] for ask in moved[-2:]]
    assert all(close(a, b) for a, b in zip(got, reference, strict=True))
    assert all(close(a, b) for a, b in zip([*cached, *warm], reference[-2:] * 2, strict=True))
    assert [answer.cached for answer in warm] == [64, 64], "a legitimate hit must be possible"


def test_nothing_is_shared_across_programs_or_adapters(
    beside: Engine, heads: list[list[Any]], adapters: list[str]
) -> None:
    ids = prompt(40, 160)
    asks = [
        Ask(ids, order, adapter=adapter)
        for adapter in (None, *adapters)
        for order in (None, [*heads[0], 1.0, SPANS], [*heads[1], 1.0, SPANS], [*heads[2], 1.0, SPANS])
    ]
    alone = [beside.run([ask])[0] for ask in asks]
    beside.run(asks[:1])  # empties the cache before, and fills it with one
    for ask, want in zip(asks[1:], alone[1:], strict=True):
        first = beside.run([ask], reset=False)[0]
        assert first.cached == 0
        assert (first.tokens, first.chosen) == (want.tokens, want.chosen)
    for ask, want in zip(asks, alone, strict=True):
        again = beside.run([ask], reset=False)[0]
        assert again.cached >= 128, "a legitimate hit must be possible, or the test says nothing"
        assert close(again, want)


def test_generated_tokens_of_all_choices_are_edited(
    beside: Engine, heads: list[list[Any]], programs: dict[str, AnyProgram], tiny_model: Path
) -> None:
    """Every choice has the log-probabilities that the local engine gives to its own tokens under the edit."""
    local, ids = LocalModel.load(tiny_model), prompt(8, 50)
    options = {"n": 3, "temperature": 1.0, "seed": 11, "max_tokens": 40}
    for name, generation in heads[1:]:
        (got,) = beside.run([Ask(ids, [name, generation, 1.0, SPANS], options=options)])
        assert len({tuple(tokens) for tokens in got.tokens}) == 3
        for tokens, rows in zip(got.tokens, got.logprobs, strict=True):
            edit = Edit(programs[name], 1.0, tuple(SPANS), prompt=len(ids))
            (logits,) = local.logits([ids + tokens], [edit])
            want = logits[len(ids) - 1 : -1].log_softmax(dim=1)
            told = torch.tensor([row[token] for row, token in zip(rows, tokens, strict=True)])
            torch.testing.assert_close(want.gather(1, torch.tensor(tokens)[:, None])[:, 0], told, atol=2e-4, rtol=0)
