"""Engines and programs for the tests against a real vLLM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from steering.program import EcoProgram, Program
from steering.spec import Kind
from steering.weights import fingerprint
from tests.steering.engine.vllm.driver import Engine, start

pytest.importorskip("vllm", reason="vLLM is not installed; `make test` installs its CPU build")

MakeProgram = Callable[..., Program]


@pytest.fixture(scope="session")
def make_program(tiny_model: Path) -> MakeProgram:
    """Programs for the tiny model."""
    model = fingerprint(tiny_model, "float32")
    substitute = np.random.default_rng(0).standard_normal(model.hidden_size).astype(np.float32)

    def make(kind: Kind = "noise", dims: int = 8, strength: float | None = None, seed: int = 7) -> Program:
        strength = strength if strength is not None else (3.0 if kind == "noise" else 1.0)
        eco = EcoProgram(kind=kind, dims=dims, strength=strength, seed=seed, model=model)
        return Program(eco, substitute if kind == "replace" else np.zeros_like(substitute))

    return make


@pytest.fixture(scope="session")
def engine(tiny_model: Path) -> Iterator[Engine]:
    """vLLM with the plug-in; its log-probabilities are those of the sampler."""
    with start(str(tiny_model)) as handle:
        assert handle.error is None, handle.error
        assert handle.rpc("lethe_hello")["sites"] == ["embed"], "the plug-in is not active; nothing would be tested"
        yield handle
