"""Edits in engines of other precisions: flagged rows are edited, all others keep their bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.quantised import int8
from steering.program import AnyProgram
from tests.steering.engine.vllm.conftest import MakeProgram
from tests.steering.engine.vllm.driver import Ask, start
from tests.steering.engine.vllm.test_edit import CONFIG, SPANS, cast, nullspace, projection, redirect
from tests.steering.engine.vllm.test_isolation import differs, prompt

pytestmark = pytest.mark.vllm


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_programs_run_in_this_precision(
    tiny_model: Path, tmp_path: Path, make_program: MakeProgram, precision: str
) -> None:
    """int8 is that of weights and activations: vLLM 0.32 has no kernel for weights alone in its CPU build."""
    if precision == "int8":
        pytest.importorskip("compressed_tensors", reason="models in int8 are written with its package")
    folder = int8(tiny_model, tmp_path / "int8", activations=True) if precision == "int8" else tiny_model
    dtype = "float32" if precision == "int8" else precision
    made: list[AnyProgram] = [
        make_program("noise", dims=64),
        *(make(tiny_model) for make in (redirect, projection, nullspace, cast)),
    ]
    with start(str(folder), dtype=dtype, additional_config=CONFIG) as engine:
        assert engine.error is None, engine.error
        heads = [[f"p91000{i}@1", engine.load(f"p91000{i}@1", program.to_bytes())] for i, program in enumerate(made)]
        asks = [Ask(prompt(i, 50), [*heads[i // 2], 1.0, SPANS] if i % 2 else None) for i in range(10)]
        plain, got = engine.run([replace(ask, order=None) for ask in asks]), engine.run(asks)
    for ask, mine, other in zip(asks, got, plain, strict=True):
        if ask.order is None:
            assert (mine.tokens, mine.logprobs) == (other.tokens, other.logprobs)
        else:
            assert differs(mine, other)
            assert mine.record is not None
            assert mine.record[3:] == [13, 0, "ok"]
