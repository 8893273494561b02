"""Rows of logit differences without an engine: whichever rows logits are asked for, each is merged under its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from steering.assistant import Difference, DifferenceProgram
from steering.engine.vllm.assistants import Assistants
from steering.engine.vllm.stack import Weights
from steering.logits import logit_difference
from steering.program import ProgramError
from steering.spec import ModelFingerprint

HIDDEN, VOCABULARY, ROWS = 16, 40, 300
MODEL = ModelFingerprint(id="m", weights_sha256="0" * 64, dtype="float32", hidden_size=HIDDEN)
HEAD = torch.from_numpy(np.random.default_rng(0).standard_normal((VOCABULARY, HIDDEN))).float()


class Scaled:
    """An assistant of two layers that multiplies embeddings by its one weight."""

    layers = 2

    def __init__(self) -> None:
        self.runs, self.weight = 0, 0.0

    def __call__(self, embeddings: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return embeddings * self.weight

    def check(self, weights: Weights) -> None:
        if set(weights) != {"norm.weight"}:
            raise ProgramError("odd")

    def load(self, weights: Weights) -> None:
        self.weight = float(weights["norm.weight"][0])

    def clear(self) -> None:
        self.weight = 0.0


def program(*weights: float, alpha: float = 1.0) -> Difference:
    made: dict[str, Any] = {"method": "twin" if len(weights) == 2 else "uld", "rule": "linear", "layers": 2}
    difference = DifferenceProgram(**made, alpha=alpha, plausible=0.05, top_m=20, model=MODEL)
    tensors = zip(("remembering", "blank"), weights, strict=False)
    return Difference(difference, {f"{role}.norm.weight": np.full(1, w, np.float32) for role, w in tensors})


def head(hidden: torch.Tensor) -> torch.Tensor:
    return hidden.float() @ HEAD.T


@pytest.fixture(params=[torch.float32, torch.bfloat16, torch.float16])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def hosted(dtype: torch.dtype, places: int = 3) -> tuple[Assistants, list[Scaled], torch.Tensor]:
    table = torch.randn(50, HIDDEN, generator=torch.Generator().manual_seed(1)).to(dtype)
    hosts = [Scaled() for _ in range(places)]
    return Assistants(hosts, ROWS, HIDDEN, torch.device("cpu"), lambda ids: table[ids], dtype), hosts, table


def test_every_row_is_merged_under_its_own_program(dtype: torch.dtype) -> None:
    assistants, hosts, table = hosted(dtype)
    assistants.write(1, program(3.0, -1.0, alpha=2.0))
    assistants.write(2, program(0.5))
    ids = torch.arange(ROWS) % 50
    hidden = torch.randn(ROWS, HIDDEN, generator=torch.Generator().manual_seed(2)).to(dtype)
    assistants.begin()
    assistants.add(1, 0.5, "a", 3, 200)
    assistants.add(2, 2.0, "b", 250, 299)
    wide = assistants.beside(hidden, ids, ids)
    assert [host.runs for host in hosts] == [1, 1, 1]
    # rows in any order and number, as for samples, drafts and prompts
    drawn = torch.randperm(ROWS, generator=torch.Generator().manual_seed(3))[:250]
    chosen = torch.cat([drawn[(drawn != 199) & (drawn != 298)], torch.tensor([298, 199])])
    got = assistants.merged(wide[chosen], head)
    said = [head(table[ids] * weight) for weight in (3.0, -1.0, 0.5)]
    others: tuple[torch.Tensor, torch.Tensor | None]
    for row, ours in zip(chosen.tolist(), got, strict=True):
        bare = head(hidden[row : row + 1])
        if row in range(3, 200):
            others, alpha = (said[0][row : row + 1], said[1][row : row + 1]), 1.0
        elif row in range(250, 299):
            others, alpha = (said[2][row : row + 1], None), 2.0
        else:
            assert torch.equal(ours, head(hidden[chosen])[chosen.tolist().index(row)])
            continue
        one = torch.ones(1)
        kept = logit_difference(bare, *others, alpha * one, None, 0.05 * one, 20 * one.long(), one < 0)[0]
        near = kept.isfinite()
        torch.testing.assert_close(ours.log_softmax(dim=0)[near], kept[near], atol=1e-4, rtol=1e-4)
    assert assistants.failed() == {}


def test_only_what_a_step_needs_runs(dtype: torch.dtype) -> None:
    assistants, hosts, _ = hosted(dtype)
    hidden, ids = torch.zeros(4, HIDDEN, dtype=dtype), torch.arange(4)
    assistants.merged(torch.rand_like(assistants.beside(hidden, ids, ids)), head)  # a warm-up, with random states
    assert [host.runs for host in hosts] == [1, 1, 1]
    assistants.write(1, program(1.0, 2.0))
    assistants.write(2, program(3.0))
    assistants.begin()
    assert assistants.beside(hidden, ids, ids) is hidden
    assistants.begin()
    assistants.add(2, 1.0, "b", 0, 2)
    assert assistants.failed() == {"b": "hook-not-run"}, "nobody computed its logits"
    assistants.beside(hidden, ids, ids)
    assert [host.runs for host in hosts] == [1, 1, 2]
    assistants.merged(hidden, head)
    assert assistants.failed() == {"b": "hook-not-run"}, "logits of the model alone"


def test_a_row_that_is_not_a_number_is_told_and_can_be_sampled() -> None:
    assistants, hosts, _ = hosted(torch.float32)
    assistants.write(1, program(1.0))
    hosts[0].weight = float("nan")
    assistants.begin()
    assistants.add(1, 1.0, "a", 0, 2)
    assistants.add(1, 1.0, "b", 2, 3)
    hidden, ids = torch.ones(4, HIDDEN), torch.arange(4)
    wide = assistants.beside(hidden, ids, ids)
    got = assistants.merged(wide[[1, 3]], head)
    assert got.isfinite().all()
    assert torch.equal(got[1], head(hidden[[1, 3]])[1])
    assert not torch.equal(got[0], head(hidden[[1, 3]])[0])
    assert assistants.failed() == {"a": "not-a-number", "b": "hook-not-run"}, "nobody asked for the logits of b"


def test_rows_whose_numbers_are_lost_are_no_proof(dtype: torch.dtype) -> None:
    assistants, *_ = hosted(dtype)
    assistants.write(1, program(1.0))
    assistants.begin()
    assistants.add(1, 1.0, "a", 1, 3)
    ids = torch.arange(4)
    wide = assistants.beside(torch.ones(4, HIDDEN, dtype=dtype), ids, ids)
    wide[:, 2 * HIDDEN :] = 0
    assistants.merged(wide, head)
    assert assistants.failed() == {"a": "hook-not-run"}


@pytest.mark.parametrize("dose", [0.0, -1.0, float("nan"), float("inf")])
def test_a_dose_that_would_switch_a_row_off_is_an_error(dose: float) -> None:
    assistants, *_ = hosted(torch.float32)
    assistants.write(1, program(1.0))
    assistants.begin()
    with pytest.raises(ValueError, match="dose"):
        assistants.add(1, dose, "a", 0, 2)


def test_places_are_found_and_given_back() -> None:
    assistants, hosts, _ = hosted(torch.float32)
    assistants.write(1, program(1.0, 2.0))
    with pytest.raises(ProgramError, match=r"needs 2 assistant.*1 free .2,2,2 reserved.*--assistants 2,2,2,2`"):
        assistants.check(program(1.0, 2.0))
    assistants.clear(1)
    assert [host.weight for host in hosts] == [0.0, 0.0, 0.0]
    assistants.write(1, program(1.0, 2.0))
    assert [host.weight for host in hosts] == [1.0, 2.0, 0.0]


def test_a_failed_load_holds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assistants, *_ = hosted(torch.float32, places=1)

    def fail(self: Scaled, weights: Weights) -> None:
        raise ProgramError("odd")

    with monkeypatch.context() as patch:
        patch.setattr(Scaled, "load", fail)
        with pytest.raises(ProgramError, match="odd"):
            assistants.write(1, program(1.0))
    assistants.write(2, program(1.0))
