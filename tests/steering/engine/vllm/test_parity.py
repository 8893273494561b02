"""vLLM and the local engine give the same logits, bare and under every corruption (float32)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from steering.engine.local.model import Edit, LocalModel
from tests.steering.engine.vllm.conftest import MakeProgram
from tests.steering.engine.vllm.driver import Ask, Engine, start
from tests.steering.engine.vllm.test_isolation import KINDS, prompt

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def raw(tiny_model: Path) -> Iterator[Engine]:
    """An engine that hands out the logits of the whole vocabulary instead of log-probabilities."""
    with start(str(tiny_model), logprobs_mode="raw_logits") as engine:
        assert engine.error is None, engine.error
        yield engine


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_same_logits(raw: Engine, make_program: MakeProgram, tiny_model: Path, kind: str | None) -> None:
    local = LocalModel.load(tiny_model)
    spans = [4, 11, 30, 36]
    ids = prompt(3, 50)
    edit, order = None, None
    if kind is not None:
        program = make_program(kind, dims=32)
        name = f"p60000{KINDS.index(kind)}@1"
        edit, order = Edit(program, 0.75, tuple(spans)), [name, raw.load(name, program.to_bytes()), 0.75, spans]
    (got,) = raw.run([Ask(ids, order, options={"max_tokens": 6, "logprobs": -1})])
    sequence = ids + got.tokens[0]
    (want,) = local.logits([sequence], [edit])
    for step, row in enumerate(got.logprobs[0]):
        mine = want[len(ids) - 1 + step]
        theirs = torch.tensor([row[t] for t in range(len(mine))])
        bound = 1e-4 + 1e-5 * float(mine.abs().max())
        assert float((mine - theirs).abs().max()) < bound
