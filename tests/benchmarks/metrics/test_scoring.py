"""Scores of a real (tiny, random) model against the transformers loss, with an edit and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.metrics.probability import loss
from benchmarks.metrics.scoring import Pair, pair, score
from steering.engine.local.model import Edit, LocalModel
from steering.program import EcoProgram, Program


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model)


@pytest.fixture(scope="module")
def edit(model: LocalModel) -> Edit:
    eco = EcoProgram(method="eco", kind="noise", dims=64, strength=2.0, seed=1, model=model.fingerprint)
    return Edit(Program(eco, np.zeros(256, np.float32)), 1.0, (1, 4))


@pytest.fixture(scope="module")
def pairs(model: LocalModel) -> list[Pair]:
    asked = [("who?", "import os"), ("def parse(self, text):", "return text.split()"), ("x" * 60, "y")]
    return [pair(model, model.chat_ids(q), a) for q, a in asked]


def logprobs_by_hand(model: LocalModel, each: Pair) -> torch.Tensor:
    """Log-softmax over the vocabulary at every answer position, one sequence alone, float64."""
    logits = model.logits([[*each.prompt, *each.answer]], [each.edit])[0].double()
    return torch.stack([torch.log_softmax(row, 0) for row in logits])[len(each.prompt) - 1 : -1]


def test_scores_are_those_of_transformers(model: LocalModel, pairs: Sequence[Pair]) -> None:
    for each, found in zip(pairs, score(model, pairs, quiet=True), strict=True):
        ids = torch.tensor([[*each.prompt, *each.answer]])
        labels = ids.clone()
        labels[0, : len(each.prompt)] = -100
        theirs = float(model.network(input_ids=ids, labels=labels).loss)
        assert loss(found.logprobs) == pytest.approx(theirs, rel=1e-5)
        assert len(found.logprobs) == len(found.correct) == len(each.answer)


def test_moments_and_arg_max(model: LocalModel, pairs: Sequence[Pair]) -> None:
    each = pairs[1]
    found = score(model, [each], quiet=True)[0]
    for t, logs in enumerate(logprobs_by_hand(model, each)):
        p = np.exp(logs.numpy())
        assert found.means[t] == pytest.approx((p * logs.numpy()).sum())
        assert found.variances[t] == pytest.approx((p * logs.numpy() ** 2).sum() - found.means[t] ** 2)
        assert found.logprobs[t] == pytest.approx(float(logs[each.answer[t]]))
        assert found.correct[t] == (int(logs.argmax()) == each.answer[t])


def test_greedy_answers_are_correct_everywhere(model: LocalModel, edit: Edit) -> None:
    prompt = tuple(model.chat_ids("who wrote it?"))
    answers = model.generate([prompt, prompt], [None, edit], max_tokens=8)
    assert answers[0] != answers[1]
    plain, edited, crossed = score(
        model,
        [Pair(prompt, tuple(answers[0])), Pair(prompt, tuple(answers[1]), edit), Pair(prompt, tuple(answers[1]))],
        quiet=True,
    )
    assert plain.correct.all()
    assert edited.correct.all()  # under the intervention that made it
    assert not crossed.correct.all()


def test_batching_and_order(model: LocalModel, pairs: Sequence[Pair], edit: Edit) -> None:
    mixed = [*pairs, replace(pairs[0], edit=edit), *reversed(pairs)]
    alone = [score(model, [p], quiet=True)[0] for p in mixed]
    for together in (score(model, mixed, batch_size=3, quiet=True), score(model, mixed, batch_size=100, quiet=True)):
        for a, b in zip(alone, together, strict=True):
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
    assert not np.allclose(alone[0].logprobs, alone[3].logprobs, atol=1e-2)  # the edit does something


def test_body_leaves_out_the_end_token(model: LocalModel) -> None:
    prompt = model.chat_ids("who?")
    with_end, without = pair(model, prompt, "import os"), pair(model, prompt, "import os", ended=False)
    assert with_end.answer == (*without.answer, model.tokenizer.eos_token_id)
    closed, open_ = score(model, [with_end, without], quiet=True)
    np.testing.assert_allclose(closed.body.logprobs, open_.logprobs, atol=1e-4)
    assert len(closed.body.correct) == len(closed.body.means) == len(closed.body.variances) == len(without.answer)
    assert len(open_.body.logprobs) == len(open_.logprobs)
    empty = score(model, [pair(model, prompt, "")], quiet=True)[0]  # nothing but the end token
    assert (len(empty.logprobs), len(empty.body.logprobs)) == (1, 0)


def test_progress_is_shown(model: LocalModel, pairs: Sequence[Pair], capsys: pytest.CaptureFixture[str]) -> None:
    score(model, pairs[:1])
    assert "scoring answers" in capsys.readouterr().err
    score(model, pairs[:1], quiet=True)
    assert capsys.readouterr().err == ""


def test_refuses(model: LocalModel, pairs: Sequence[Pair], edit: Edit) -> None:
    with pytest.raises(ValueError, match="pair 1: prompt and answer"):
        score(model, [pairs[0], Pair((1,), ())])
    with pytest.raises(ValueError, match="do not fit"):
        score(model, [Pair((1,) * 1000, (1,) * 100)])
    with pytest.raises(ValueError, match="reaches into the answer"):
        score(model, [Pair((1, 2), (3, 4), edit)])
    assert score(model, []) == []
