from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from steering.engine.local.model import Edit, LocalModel
from steering.engine.local.residual import EngineFaultError
from steering.ops import noise_table
from tests.steering.engine.local.conftest import program


def test_batch_equals_solo(model: LocalModel, batch: list[list[int]]) -> None:
    edit = Edit(program(model), 1.0, (1, 3))
    edits = [None, edit, None, edit]
    for ids, each, together in zip(batch, edits, model.logits(batch, edits), strict=True):
        alone = model.logits([ids], [each])[0]
        assert together.shape == (len(ids), model.vocabulary)
        assert torch.allclose(together, alone, atol=1e-5, rtol=1e-5)


def test_greedy_batch_equals_solo_and_transformers(model: LocalModel, batch: list[list[int]]) -> None:
    edits = [None, Edit(program(model), 1.0, (1, 3)), None, None]
    together = model.generate(batch, edits, max_tokens=24, batch_size=3)
    assert together == [model.generate([i], [e], max_tokens=24)[0] for i, e in zip(batch, edits, strict=True)]
    theirs = model.network.generate(torch.tensor([batch[3]]), max_new_tokens=24, do_sample=False)[0, len(batch[3]) :]
    assert together[3] == [i for i in theirs.tolist() if i not in model.eos]
    assert model.generate(batch[:1], max_tokens=0) == [[]]


def test_greedy_rows_end_alone(model: LocalModel, batch: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    free = model.generate(batch, max_tokens=20)
    end = free[0][5]
    monkeypatch.setattr(model, "eos", frozenset({end}))
    for before, after in zip(free, model.generate(batch, max_tokens=20), strict=True):
        assert after == (before[: before.index(end)] if end in before else before)


@pytest.mark.parametrize("kind", ["noise", "zero_top_k", "flip_top_k", "replace"])
def test_edit_against_float64(model: LocalModel, batch: list[list[int]], kind: str) -> None:
    change = program(model, kind, strength=0.7, dims=40)
    plain, none, _ = model.embed(batch[3])
    found, count, _ = model.embed(batch[3], Edit(change, 1.2, (1, 2, 4, 6)))
    rows = [1, 4, 5]
    assert (count, none) == (3, 0)
    others = [i for i in range(len(plain)) if i not in rows]
    assert torch.equal(found[others], plain[others])
    for t in rows:
        e = plain[t].double().numpy().copy()
        share, largest = 0.84, np.argsort(-np.abs(e))[:40]
        if kind == "noise":
            e[:40] += 0.84 * noise_table(256)[(4095 + t) % 4096, :40].double().numpy()
        elif kind == "zero_top_k":
            e[largest] *= 1 - share
        elif kind == "flip_top_k":
            e[largest] *= 1 - 2 * share
        else:
            e = (1 - share) * e + share * change.substitute
        np.testing.assert_allclose(found[t].numpy(), e, atol=1e-6)


def test_edit_changes_only_what_follows(model: LocalModel, batch: list[list[int]]) -> None:
    plain, edited = (model.logits([batch[3]], [e])[0] for e in (None, Edit(program(model), 1.0, (3, 4))))
    assert torch.equal(plain[:3], edited[:3])
    assert (plain[3:] - edited[3:]).abs().amax(dim=1).min() > 1e-3


def test_name_and_data_type(model: LocalModel, tiny_model: Path, batch: list[list[int]]) -> None:
    assert model.name == model.fingerprint.id == "tiny"
    assert LocalModel.load(tiny_model, dtype="auto").fingerprint == model.fingerprint
    half = LocalModel.load(tiny_model, dtype="bfloat16", name="half")
    assert (half.name, half.fingerprint.dtype) == ("half", "bfloat16")
    edit = Edit(program(half), 1.0, (1, 3))
    assert half.embed(batch[3], edit)[0].dtype == torch.bfloat16
    found, exact = half.logits([batch[3]], [edit])[0], model.logits([batch[3]], [edit])[0]
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() < 0.05 * exact.abs().max()


def test_bad_input_to_the_model(model: LocalModel, tiny_model: Path) -> None:
    with pytest.raises(EngineFaultError, match="outside of a prompt of 2 tokens"):
        model.embed([6, 7], Edit(program(model), 1.0, (1, 3)))
    with pytest.raises(ValueError, match="at least one token"):
        model.logits([[6], []])
    with pytest.raises(Exception, match="not a floating data type"):
        LocalModel.load(tiny_model, dtype="int8")


@pytest.mark.model
def test_smollm_knows_what_is_to_be_forgotten() -> None:
    model = LocalModel.load("smollm2-135m-instruct")
    questions = ["Who wrote the Harry Potter books?", "What is the capital of France?", "Name three fruits."]
    batch = [model.chat_ids(question) for question in questions]
    answers = model.generate(batch, max_tokens=24)
    assert answers == [model.generate([ids], max_tokens=24)[0] for ids in batch]
    texts = [model.tokenizer.decode(ids) for ids in answers]
    assert "Rowling" in texts[0]
    assert "Paris" in texts[1]
