from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steering.engine.local.generate import Detokenizer, Sampler, Sampling, StopStrings, generate
from steering.engine.local.model import LocalModel
from steering.engine.local.residual import EngineFaultError


def pick(logits: list[float], prompt: tuple[int, ...] = (), **settings: Any) -> int:
    sampling = Sampling(**{"max_tokens": 9, "temperature": 0.0, **settings})
    return Sampler(sampling, prompt, len(logits), 0).pick(torch.tensor(logits)).id


def test_greedy_constraints() -> None:
    assert pick([1.0, 3.0, 2.0]) == 1
    assert pick([1.0, 3.0, 2.0], logit_bias={1: -5.0}) == 2
    assert pick([1.0, 3.0, 2.0], allowed=(0, 2)) == 2
    assert pick([1.0, 3.0, 2.0], prompt=(1,), repetition_penalty=2.0) == 2
    assert pick([-1.0, -0.9], prompt=(1,), repetition_penalty=2.0) == 0
    assert pick([1.0, 3.0], min_tokens=1, eos=frozenset({1})) == 0
    assert pick([1.0, 3.0], min_tokens=1, eos=frozenset({1}), ignore_eos=True) == 1
    with pytest.raises(EngineFaultError, match="not numbers"):
        pick([1.0, math.nan])
    with pytest.raises(EngineFaultError, match="forbid every token"):
        pick([1.0, 2.0], allowed=(1,), min_tokens=1, eos=frozenset({1}))


def test_penalties_count_the_answer_only() -> None:
    sampler = Sampler(Sampling(9, temperature=0.0, presence_penalty=0.3, frequency_penalty=0.4), [1], 2, 0)
    assert [sampler.pick(torch.tensor([0.0, 1.0])).id for _ in range(4)] == [1, 1, 0, 1]  # 1, .3, -.1 against 0, 0, 0


def test_filters_keep_the_right_tokens() -> None:
    logits = torch.log(torch.tensor([0.5, 0.25, 0.15, 0.1]))

    def kept(**settings: Any) -> set[int]:
        sampler = Sampler(Sampling(999, seed=0, **settings), [], 4, 0)
        return {sampler.pick(logits).id for _ in range(300)}

    assert kept() == {0, 1, 2, 3}
    assert kept(top_k=2) == {0, 1}
    assert kept(top_p=0.75) == {0, 1}
    assert kept(top_p=0.76) == {0, 1, 2}
    assert kept(top_p=0.01) == {0}
    assert kept(min_p=0.25) == {0, 1, 2}


def test_sampling_follows_the_distribution_and_the_seed() -> None:
    logits = torch.log(torch.tensor([0.7, 0.2, 0.1]))

    def draw(seed: int, choice: int = 0) -> list[int]:
        sampler = Sampler(Sampling(9999, seed=seed, temperature=1.0), [], 3, choice)
        return [sampler.pick(logits).id for _ in range(2000)]

    assert draw(1) == draw(1) == draw(0, choice=1)
    assert draw(1) != draw(2)
    shares = np.bincount(draw(1), minlength=3) / 2000
    np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.04)


def test_logprobs_are_those_of_the_model() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0])
    token = Sampler(Sampling(9, temperature=0.5, logit_bias={0: 9.0}, logprobs=2, top_k=1), [], 3, 0).pick(logits)
    expected = torch.log_softmax(logits, 0)
    assert token.id == 0
    assert token.logprob == pytest.approx(float(expected[0]))
    assert [i for i, _ in token.top] == [1, 2]


@given(st.text(min_size=1, max_size=40))
def test_text_comes_whole_and_unbroken(model: LocalModel, text: str) -> None:
    text = text.replace("\ufffd", "")
    pieces = Detokenizer(model.tokenizer, model.tokenizer("def f(")["input_ids"], skip_special=True)
    out = [pieces.push(i) for i in model.tokenizer(text + "|")["input_ids"]]
    assert "".join(out) == text + "|"
    assert not any("\ufffd" in piece for piece in out)


@given(st.lists(st.text("abc", max_size=4), max_size=12), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_stop_strings(pieces: list[str], stop: list[str]) -> None:
    stops, out, hit = StopStrings(stop, include=False), "", None
    for piece in pieces:
        text, hit = stops.push(piece)
        out += text
        assert not any(s in out for s in stop)
        if hit is not None:
            break
    else:
        out += stops.flush()
    whole = "".join(pieces)
    first = min((whole.find(s) for s in stop if s in whole), default=None)
    assert (hit is None) == (first is None)
    if first is None:
        assert out == whole
    else:
        assert whole.startswith(out + str(hit))


def test_stop_string_can_be_included() -> None:
    stops = StopStrings(["end"], include=True)
    assert [stops.push(p) for p in ("the e", "nd of")] == [("the ", None), ("end", "end")]


def test_generate_many_choices(model: LocalModel, batch: list[list[int]]) -> None:
    def texts(n: int, **settings: Any) -> list[str]:
        out = [""] * n
        sampling = Sampling(12, temperature=1.5, seed=7, eos=model.eos, **settings)
        for delta in generate(model.prefill([batch[0]]), batch[0], sampling, n, model.tokenizer):
            out[delta.choice] += delta.text
        return out

    three = texts(3)
    assert len(set(three)) == 3
    assert three[0] == texts(1)[0]
    cut = texts(3, stop=(three[0][3:6],))
    assert cut[0] == three[0][: three[0].index(three[0][3:6])]
    assert cut[1] == three[1].split(three[0][3:6])[0]
