"""The adapter for model runner V2, as far as it can be tried without a GPU: interfaces in the source, row mapping."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from steering.engine.vllm import mrv2

pytestmark = pytest.mark.vllm

NEEDED = {
    "load_model": ["self"],
    "finish_requests": ["self", "scheduler_output"],
    "add_requests": ["self", "scheduler_output"],
    "prepare_inputs": ["self", "scheduler_output"],
    "sample_tokens": ["self", "grammar_output"],
}


def test_the_installed_source_has_what_the_adapter_wraps() -> None:
    """Importing it needs Triton, so the source is read instead; `patch` checks the same at start-up on a GPU."""
    spec = importlib.util.find_spec("vllm")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "v1" / "worker" / "gpu"
    tree = ast.parse((folder / "model_runner.py").read_text(encoding="utf-8"))
    runner = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "GPUModelRunner")
    methods = {n.name: [a.arg for a in n.args.args] for n in runner.body if isinstance(n, ast.FunctionDef)}
    for name, parameters in NEEDED.items():
        assert methods[name][: len(parameters)] == parameters
    wrapped = Path(mrv2.__file__).read_text(encoding="utf-8")
    assert all(f'wrap(GPUModelRunner, "{name}"' in wrapped for name in NEEDED)
    batch = ast.parse((folder / "input_batch.py").read_text(encoding="utf-8"))
    fields = next(n for n in batch.body if isinstance(n, ast.ClassDef) and n.name == "InputBatch")
    names = {n.target.id for n in fields.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    assert {"req_ids", "query_start_loc_np", "num_computed_tokens_np"} <= names


def test_rows_of_flagged_requests_only() -> None:
    batch = SimpleNamespace(
        req_ids=["a", "b", "c"],
        query_start_loc_np=np.array([0, 1, 41, 57, 57]),
        num_computed_tokens_np=np.array([90, 0, 32]),
    )
    order = ["p100000@1", 1, 1.0, [2, 4]]
    rows = list(mrv2._rows({"b": (order, [7] * 40), "c": (order, [8] * 48), "gone": (order, [])}, batch))
    assert [(r.request, r.row, r.tokens, r.position, len(r.prompt)) for r in rows] == [
        ("b", 1, 40, 0, 40),
        ("c", 41, 16, 32, 48),
    ]
