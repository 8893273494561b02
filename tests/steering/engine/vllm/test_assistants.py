"""Logit differences on a real vLLM: equal to the local engine in a mixed batch, and nobody else's business."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from steering.assistant import Difference
from steering.engine.local.generate import Sampling, generate
from steering.engine.local.model import Edit, LocalModel
from steering.program import AnyProgram
from tests.steering.engine.local.test_assistants import by_hand, difference
from tests.steering.engine.vllm.conftest import MakeProgram
from tests.steering.engine.vllm.driver import Ask, Engine, Got, start
from tests.steering.engine.vllm.test_isolation import close, differs, prompt

pytestmark = pytest.mark.vllm

CONFIG = {"lethe": {"assistants": [2, 2, 2, 2, 2, 2], "edit": {"layers": [2], "columns": 4}}}
SPANS = [4, 11, 30, 36]
DOSES = (0.5, 1.0, 1.5)

Loaded = dict[str, tuple[AnyProgram, list[Any]]]


@pytest.fixture(scope="module")
def local(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model)


@pytest.fixture(scope="module")
def programs(local: LocalModel, make_program: MakeProgram) -> dict[str, AnyProgram]:
    """Twins and ULD under three rules, and a corruption that must not mind."""
    return {
        "p900000@1": difference(local, "twin"),
        "p900001@1": difference(local, "twin", "rank"),
        "p900002@1": difference(local, "uld"),
        "p900003@1": difference(local, "uld", "offset"),
        "p900004@1": make_program("noise", dims=64),
    }


def load(engine: Engine, programs: dict[str, AnyProgram]) -> Loaded:
    return {name: (made, [name, engine.load(name, made.to_bytes())]) for name, made in programs.items()}


@pytest.fixture(scope="module")
def raw(tiny_model: Path) -> Iterator[Engine]:
    """An engine with places for assistants that hands out the logits of the whole vocabulary."""
    with start(str(tiny_model), logprobs_mode="raw_logits", additional_config=CONFIG) as engine:
        assert engine.error is None, engine.error
        assert engine.rpc("lethe_hello")["sites"] == ["embed", "layer.2", *["assistant.2"] * 6]
        yield engine


@pytest.fixture(scope="module")
def loaded(raw: Engine, programs: dict[str, AnyProgram]) -> Loaded:
    return load(raw, programs)


def mixed(loaded: Loaded, count: int = 16, length: int = 50, **options: Any) -> list[Ask]:
    """Every third request unflagged, the others under the programs in turn, with different doses."""
    heads = [head for _, head in loaded.values()]
    options = {"max_tokens": 6, "logprobs": -1, **options}
    return [
        Ask(
            prompt(i, length),
            None if i % 3 == 0 else [*heads[i % len(heads)], DOSES[i % len(DOSES)], SPANS],
            options=options,
        )
        for i in range(count)
    ]


def edit_of(ask: Ask, programs: dict[str, AnyProgram]) -> Edit | None:
    if ask.order is None:
        return None
    return Edit(programs[ask.order[0]], ask.order[2], tuple(SPANS), prompt=len(ask.ids))


def table(logprobs: list[dict[int, float]]) -> torch.Tensor:
    return torch.tensor([[row[t] for t in range(len(row))] for row in logprobs])


def agree(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """The same tokens are within reach, with the same log-probabilities.

    Which tokens are kept is a step, so of some thousand those at its edge may fall on either side; the others are
    compared without them.
    """
    ours, theirs = ours.log_softmax(dim=1), theirs.log_softmax(dim=1)
    mine, kept = ours > -30, theirs > -30
    assert int((mine != kept).sum(dim=1).max()) <= 3
    both = mine & kept
    within = [one.masked_fill(~both, -torch.inf).log_softmax(dim=1)[both] for one in (ours, theirs)]
    torch.testing.assert_close(*within, atol=1e-4, rtol=0)


def same_logits(local: LocalModel, programs: dict[str, AnyProgram], asks: Sequence[Ask], answers: list[Got]) -> int:
    """Compare with the local engine's passes without any cache; return how many tokens were compared."""
    compared = 0
    for ask, got in zip(asks, answers, strict=True):
        assert got.finish == ["length"]
        sequence = ask.ids + got.tokens[0]
        (want,) = local.logits([sequence], [edit_of(ask, programs)])
        mine, theirs = want[len(ask.ids) - 1 : -1], table(got.logprobs[0])
        agree(mine, theirs)
        for a, b in zip(mine, theirs, strict=True):
            best = a.topk(2).values
            if float(best[0] - best[1]) > 1e-3:
                assert int(a.argmax()) == int(b.argmax())
                compared += 1
    return compared


def test_a_mixed_batch_has_the_logits_of_the_local_engine(
    raw: Engine, loaded: Loaded, programs: dict[str, AnyProgram], local: LocalModel
) -> None:
    asks = mixed(loaded)
    answers = raw.run(asks)
    assert same_logits(local, programs, asks, answers) > 80
    for ask, got in zip(asks, answers, strict=True):
        if ask.order is not None:
            assert got.record is not None
            assert got.record[3:] == [13, 0, "ok"]


def test_a_mixed_batch_has_the_tokens_of_transformers(
    raw: Engine, loaded: Loaded, programs: dict[str, AnyProgram], local: LocalModel
) -> None:
    """Separate passes of plain transformers networks, merged by the reference, decoded greedily."""
    program = programs["p900000@1"]
    assert isinstance(program, Difference)
    asks = [
        Ask(prompt(i, 30), [*loaded["p900000@1"][1], dose, SPANS] if dose else None, options={"logprobs": -1})
        for i, dose in enumerate((0.0, 0.5, 1.0, 0.0) * 4)
    ]
    for ask, got in zip(asks, raw.run(asks), strict=True):
        ids, answer = ask.ids, got.tokens[0]
        want = by_hand(local, program, ids + answer, ask.order[2] if ask.order else 0.0)[len(ids) - 1 : -1]
        agree(table(got.logprobs[0]), want)
        assert answer == want.argmax(dim=1).tolist()


def test_e1_unflagged_rows_keep_their_bits(raw: Engine, loaded: Loaded, tiny_model: Path) -> None:
    asks = mixed(loaded)
    plain = [replace(ask, order=None) for ask in asks]
    with start(str(tiny_model), plugin=False, logprobs_mode="raw_logits") as bare:
        assert bare.error is None
        absent, repeated = bare.run(plain), bare.run(plain)
    assert absent == repeated, "the baseline does not repeat itself: the comparison would be void"
    assert raw.run(plain) == absent
    for ask, got, want in zip(asks, raw.run(asks), absent, strict=True):
        if ask.order is None:
            assert (got.tokens, got.logprobs) == (want.tokens, want.logprobs)
        else:
            assert differs(got, want)


def test_chunks_and_preemption_change_nothing(
    raw: Engine, loaded: Loaded, programs: dict[str, AnyProgram], tiny_model: Path
) -> None:
    asks = mixed(loaded, 12, 90, max_tokens=60, logprobs=1)
    reference = raw.run(asks)
    small: dict[str, Any] = {
        "max_model_len": 160,
        "max_num_batched_tokens": 48,
        "max_num_seqs": 8,
        "num_gpu_blocks_override": 11,
    }
    with start(str(tiny_model), logprobs_mode="raw_logits", additional_config=CONFIG, **small) as other:
        assert other.error is None, other.error
        again = load(other, programs)
        orders = [a.order and [*again[a.order[0]][1], *a.order[2:]] for a in asks]
        got = other.run([replace(ask, order=o) for ask, o in zip(asks, orders, strict=True)])
        assert other.metric("vllm:num_preemptions") > 0
    assert all(close(a, b) for a, b in zip(got, reference, strict=True))


def test_prompt_logprobs_are_merged(raw: Engine, loaded: Loaded, local: LocalModel) -> None:
    program, head = loaded["p900002@1"]
    ids = prompt(5, 40)
    flagged = Ask(ids, [*head, 1.0, SPANS], options={"prompt_logprobs": -1, "max_tokens": 1})
    (merged,) = raw.run([flagged])
    assert isinstance(program, Difference)
    want = by_hand(local, program, ids, 1.0)
    agree(table(merged.prompt), want[:-1])


def test_unflagged_blocks_hold_no_assistants(raw: Engine, loaded: Loaded) -> None:
    """No assistant ran for them, so a flagged request that read them would be merged with garbage."""
    ids = prompt(2, 160)
    flagged = Ask(ids, [*loaded["p900000@1"][1], 1.0, [4, 30]], salt="s")
    (alone,) = raw.run([flagged])
    raw.run([Ask(ids, salt="s")])
    (after,) = raw.run([flagged], reset=False)
    assert after.cached == 0
    assert (after.tokens, after.chosen) == (alone.tokens, alone.chosen)
    (again,) = raw.run([flagged], reset=False)
    assert again.cached >= 128, "a legitimate hit must be possible, or the test says nothing"
    assert close(again, alone)


def test_a_row_without_a_mask_shares_no_block(raw: Engine, loaded: Loaded) -> None:
    """Other rows of a flagged batch carry its order with no spans; no assistant runs for them either."""
    head, ids = loaded["p900000@1"][1], prompt(2, 160)
    flagged = Ask([*ids, *prompt(11, 20)], [*head, 1.0, [162, 175]], salt="s")
    (alone,) = raw.run([flagged])
    raw.run([Ask(ids[:150], [*head, 1.0, []], salt="s")])
    (after,) = raw.run([flagged], reset=False)
    assert after.cached == 0
    assert close(after, alone)


def test_sampling_sees_the_merged_logits(raw: Engine, loaded: Loaded, local: LocalModel) -> None:
    """Seeds, several choices, penalties and stop strings work on what the assistants left."""
    program, head = loaded["p900000@1"]
    order = [*head, 1.0, SPANS]
    ids = prompt(3, 40)
    (greedy,) = raw.run([Ask(ids, order)])
    options = {"temperature": 1.0, "n": 3, "seed": 5, "max_tokens": 8, "logprobs": 0}
    first, second, bare = raw.run(
        [Ask(ids, order, options=options), Ask(ids, order, options=options), Ask(ids, options=options)]
    )
    assert first.tokens == second.tokens != bare.tokens
    assert len(first.tokens) == 3
    for tokens in first.tokens:  # nothing is drawn that the merge took out
        (want,) = local.logits([ids + tokens], [Edit(program, 1.0, tuple(SPANS), prompt=len(ids))])
        chosen = want[len(ids) - 1 : -1].log_softmax(dim=1).gather(1, torch.tensor(tokens)[:, None])
        assert float(chosen.min()) > -20
    penalties = {"repetition_penalty": 1.2, "presence_penalty": -2.0, "frequency_penalty": -2.0, "max_tokens": 12}
    (penalised,) = raw.run([Ask(ids, order, options=penalties)])
    settings = Sampling(temperature=0.0, ignore_eos=True, **penalties)  # type: ignore[arg-type]
    state = local.prefill([ids], [Edit(program, 1.0, tuple(SPANS), prompt=len(ids))])
    assert penalised.tokens[0] == [delta.token.id for delta in generate(state, ids, settings, 1, local.tokenizer)]
    assert penalised.tokens != greedy.tokens
    repeated = greedy.tokens[0][0]
    bias = {"logit_bias": {repeated: -100.0}, "max_tokens": 1}
    (without,) = raw.run([Ask(ids, order, options=bias)])
    (want,) = local.logits([ids], [Edit(program, 1.0, tuple(SPANS), prompt=len(ids))])
    assert without.tokens[0] == [int(want[-1].topk(2).indices[1])]
    text = local.tokenizer.decode(greedy.tokens[0])
    (ended,) = raw.run([Ask(ids, order, options={"stop": [text[-8:]]})])
    assert ended.finish == ["stop"]
    assert ended.tokens[0] == greedy.tokens[0][: len(ended.tokens[0])]


def test_draws_follow_the_merged_distribution(raw: Engine, loaded: Loaded, local: LocalModel) -> None:
    """2,000 draws at temperature 1 against the exact probabilities; bins of five expected draws or more."""
    program, head = loaded["p900000@1"]
    assert isinstance(program, Difference)
    ids, draws = prompt(9, 40), 2000
    options = {"temperature": 1.0, "n": draws, "seed": 3, "max_tokens": 1, "logprobs": 0}
    (got,) = raw.run([Ask(ids, [*head, 1.5, SPANS], options=options)])
    exact = by_hand(local, program, ids, 1.5)[-1].double().exp()
    counts = torch.zeros(len(exact)).index_add_(0, torch.tensor(got.tokens)[:, 0], torch.ones(draws))
    large = exact * draws >= 5
    observed = [*counts[large].tolist(), draws - float(counts[large].sum())]
    expected = [*(exact[large] * draws).tolist(), draws * (1 - float(exact[large].sum()))]
    assert len(expected) > 10
    assert expected[-1] >= 5
    assert chisquare(observed, expected).pvalue > 0.01
    assert not counts[exact == 0].any()


def test_places_are_given_back_and_new_weights_reuse_no_kv(raw: Engine, loaded: Loaded, local: LocalModel) -> None:
    free = difference(local, "uld", alpha=0.75)
    for number in (5, 6):
        refused = raw.rpc("lethe_stage", f"p90000{number}@1", free.to_bytes(), "0" * 64)
        assert not refused["ok"], "all six places are taken"
        assert "start it with `lethe engine --assistants 2,2,2,2,2,2,2`" in refused["error"]
    raw.run([Ask(prompt(1))])  # offline, the end of a request reaches the worker with the next step
    assert raw.rpc("lethe_remove", "p900003@1", raw.rpc("lethe_hello")["table"])["ok"]
    ids, spans = prompt(6, 160), [4, 30]
    answers = []
    for program in (free, difference(local, "uld", alpha=1.25)):
        generation = raw.load("p900003@1", program.to_bytes())
        (got,) = raw.run([Ask(ids, ["p900003@1", generation, 1.0, spans], options={"logprobs": -1})], reset=False)
        assert got.cached == 0
        (want,) = local.logits([ids + got.tokens[0]], [Edit(program, 1.0, tuple(spans), prompt=len(ids))])
        agree(table(got.logprobs[0]), want[len(ids) - 1 : -1])
        answers.append(got)
        raw.run([Ask(prompt(1))])
        assert raw.rpc("lethe_remove", "p900003@1", raw.rpc("lethe_hello")["table"])["ok"]
    assert differs(*answers)
    loaded["p900003@1"] = free, ["p900003@1", raw.load("p900003@1", free.to_bytes())]


def test_what_does_not_fit_is_refused(raw: Engine, loaded: Loaded, local: LocalModel, engine: Engine) -> None:
    before = raw.rpc("lethe_hello")
    good = difference(local, "uld")
    broken = {"layers.0.mlp.down_proj.weight": np.zeros((3, 3), np.float32)}
    odd = Difference(good.difference, {**good.tensors, **{f"remembering.{k}": v for k, v in broken.items()}})
    raw.run([Ask(prompt(1))])
    assert raw.rpc("lethe_remove", "p900002@1", before["table"])["ok"]
    lacking = Difference(good.difference, {k: t for k, t in good.tensors.items() if "k_proj" not in k})
    for program, reason in (
        (odd, "see layers.0.mlp.down_proj.weight"),
        (lacking, "see layers.0.self_attn.k_proj.weight"),
    ):
        staged = raw.rpc("lethe_stage", "p900009@1", program.to_bytes(), "0" * 64)
        assert not staged["ok"]
        assert reason in staged["error"]
    loaded["p900002@1"] = good, ["p900002@1", raw.load("p900002@1", good.to_bytes())]
    # an engine without places refuses, and says how to start one
    staged = engine.rpc("lethe_stage", "p900009@1", good.to_bytes(), "0" * 64)
    assert not staged["ok"]
    assert "0 free (none reserved): start it with `lethe engine --assistants 2`" in staged["error"]


def test_places_are_checked_at_start(tiny_model: Path) -> None:
    for given, reason in (([5], "the model has 4 layers"), ([0], "at least one layer")):
        with start(str(tiny_model), additional_config={"lethe": {"assistants": given}}) as refused:
            assert refused.error is not None
            assert reason in refused.error


def test_an_assistant_that_is_not_a_number_ends_its_own_request_only(raw: Engine, loaded: Loaded) -> None:
    asks = mixed(loaded)
    right = raw.run(asks)
    raw.spoil("p900001@1")
    try:
        for _ in range(2):  # the second run gets the blocks of the first
            for ask, got, want in zip(asks, raw.run(asks, reset=False), right, strict=True):
                if ask.order is not None and ask.order[0] == "p900001@1":
                    assert got.finish == ["error"]
                    assert got.tokens == [[]]
                else:
                    assert close(got, want)
    finally:
        raw.run([Ask(prompt(1))])
        assert raw.rpc("lethe_remove", "p900001@1", raw.rpc("lethe_hello")["table"])["ok"]
