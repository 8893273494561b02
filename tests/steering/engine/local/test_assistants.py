"""Logit differences in the local engine: against transformers run by hand, in batches, sampled, and over HTTP."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from steering.assistant import Difference, DifferenceProgram
from steering.engine.local.assistants import trained, truncated
from steering.engine.local.generate import Sampler, Sampling
from steering.engine.local.model import Edit, LocalModel
from steering.engine.local.residual import EngineFaultError
from steering.fence import ATTESTATION_HEADER, read_attestation
from steering.logits import logit_difference
from steering.program import ProgramError
from tests.steering.engine.local.conftest import KEY, TEXTS, ask
from tests.steering.engine.local.conftest import program as corruption
from tests.steering.engine.local.test_flagged import flagged

LAYERS = 2
PROGRAM = "p222222@1"


def difference(model: LocalModel, method: str = "twin", rule: str = "linear", **change: Any) -> Difference:
    """Assistants that are noisy copies of the first layers."""
    generator, tensors, layers = np.random.default_rng(7), {}, change.get("layers", LAYERS)
    for role in ("remembering", "blank") if method == "twin" else ("remembering",):
        for name, tensor in trained(truncated(model.network, layers)).items():
            noise = 0.3 * tensor.std() * generator.standard_normal(tensor.shape)
            tensors[f"{role}.{name}"] = (tensor + noise).astype(np.float32)
    settings = {"alpha": 1.0, "plausible": 0.01, "top_m": 50, "layers": LAYERS, "rank": 20 if rule == "rank" else 0}
    settings |= change
    return Difference(DifferenceProgram(method=method, rule=rule, model=model.fingerprint, **settings), tensors)  # type: ignore[arg-type]


def by_hand(model: LocalModel, program: Difference, ids: list[int], alpha: float) -> torch.Tensor:
    """Merged log-probabilities of every position, from separate forward passes without any cache."""
    batch = torch.tensor([ids])
    with torch.no_grad():
        assistants = [truncated(model.network, LAYERS, program.weights(role)) for role in program.roles]
        said = [network(input_ids=batch).logits[0] for network in (model.network, *assistants)]
    n, made = len(ids), program.difference
    return logit_difference(
        said[0],
        said[1],
        said[2] if len(said) == 3 else None,
        torch.full((n,), alpha),
        torch.full((n,), made.rank) if made.rank else None,
        torch.full((n,), made.plausible),
        torch.full((n,), made.top_m),
        torch.full((n,), made.rule == "offset"),
    )


def agree(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Where the reference keeps a token the scores are equal, elsewhere ours are out of reach."""
    kept, ours = theirs.isfinite(), ours.log_softmax(dim=-1)
    torch.testing.assert_close(ours[kept], theirs[kept], atol=1e-4, rtol=1e-4)
    assert bool((ours[~kept].exp() < 1e-12).all())


@pytest.mark.parametrize(
    ("method", "rule"), [("twin", "linear"), ("twin", "rank"), ("uld", "linear"), ("uld", "offset")]
)
def test_a_mixed_batch_equals_forward_passes_by_hand(
    model: LocalModel, batch: list[list[int]], method: str, rule: str
) -> None:
    program = difference(model, method, rule)
    doses = (1.0, None, 0.5, 1.5)
    edits = [None if dose is None else Edit(program, dose, (0, 1)) for dose in doses]
    plain, merged = model.logits(batch), model.logits(batch, edits)
    for ids, dose, bare, ours in zip(batch, doses, plain, merged, strict=True):
        if dose is None:
            assert torch.equal(bare, ours)
            continue
        torch.testing.assert_close(ours.logsumexp(dim=1), bare.logsumexp(dim=1))  # penalties see the model's own scale
        if not program.difference.rank or dose == 1.0:
            agree(ours, by_hand(model, program, ids, dose))


@pytest.mark.parametrize("rule", ["linear", "rank"])
def test_decoding_with_caches_equals_whole_passes(model: LocalModel, batch: list[list[int]], rule: str) -> None:
    """Rows are dropped on the way, other programs are in the batch, and one row is not treated at all."""
    program, other = difference(model, rule=rule), difference(model, "uld")
    edits = [Edit(program, 1.0, (0, 1)), None, Edit(other, 1.0, (0, 1)), Edit(corruption(model), 1.0, (0, 2))]
    answers = model.generate(batch, edits, max_tokens=6, batch_size=4)
    assert answers[1] == model.generate([batch[1]], max_tokens=6)[0]
    assert answers[3] == model.generate([batch[3]], [edits[3]], max_tokens=6)[0]
    for i, made in ((0, program), (2, other)):
        ids = list(batch[i])
        for token in answers[i]:
            assert token == int(by_hand(model, made, ids, 1.0)[-1].argmax())
            ids.append(token)
    state = model.prefill(batch, edits)
    state.select([2, 0, 0])
    state.advance([5, 6, 7])
    for row, (i, token) in enumerate(((2, 5), (0, 6), (0, 7))):
        agree(state.logits[row], by_hand(model, (other, program)[i == 0], [*batch[i], token], 1.0)[-1])


def test_samples_follow_the_merged_distribution(model: LocalModel, batch: list[list[int]]) -> None:
    """2,000 draws at temperature 1 against the exact probabilities; bins of five expected draws or more."""
    program, draws = difference(model, alpha=1.5), 2000
    ids = batch[1]
    exact = by_hand(model, program, ids, 1.5)[-1].double().exp()
    row = model.prefill([ids], [Edit(program, 1.0, (0, 1))]).logits[0]
    sampler = Sampler(Sampling(max_tokens=draws, seed=11), ids, model.vocabulary, 0)
    counts = Counter(sampler.pick(row).id for _ in range(draws))
    large = [i for i in range(model.vocabulary) if exact[i] * draws >= 5]
    rest = 1 - float(exact[large].sum())
    expected = [float(exact[i]) * draws for i in large]
    observed = [counts[i] for i in large]
    if rest * draws >= 5:
        expected.append(rest * draws)
        observed.append(draws - sum(observed))
    else:  # too few for a bin of their own
        expected[0] += rest * draws
        observed[0] += draws - sum(observed)
    assert len(expected) >= 5
    assert chisquare(observed, expected, sum_check=False).pvalue > 0.01
    plain = model.prefill([ids]).logits[0].softmax(dim=0)
    assert float((plain - exact).abs().sum()) > 0.2, "the test would pass without any difference"
    assert set(counts) <= set(exact.nonzero()[:, 0].tolist())


def test_constraints_of_the_client_are_met(model: LocalModel, batch: list[list[int]]) -> None:
    """Tokens that the merge does not keep: a client that allows or favours them gets them, as anybody does."""
    program = difference(model)
    row = model.prefill([batch[1]], [Edit(program, 1.0, (0, 1))]).logits[0]
    worst = row.topk(model.vocabulary).indices[-2:].tolist()
    allowed = Sampler(Sampling(max_tokens=9, allowed=tuple(worst), seed=1), batch[1], model.vocabulary, 0)
    assert {allowed.pick(row).id for _ in range(9)} == set(worst)
    favoured = Sampler(Sampling(max_tokens=1, logit_bias={worst[0]: 100.0}), batch[1], model.vocabulary, 0)
    assert favoured.pick(row).id == worst[0]
    plain = Sampler(Sampling(max_tokens=1, logprobs=20, temperature=0), batch[1], model.vocabulary, 0)
    assert min(value for _, value in plain.pick(row).top) > -30, "masked tokens would show that a rule fired"


def test_assistants_of_another_model_are_refused(model: LocalModel) -> None:
    program = difference(model)
    narrow = {name: tensor[..., :-1].copy() for name, tensor in program.tensors.items()}
    with pytest.raises(ProgramError, match="does not fit"):
        model.host(Difference(program.difference, narrow))
    deep = Difference(program.difference.model_copy(update={"layers": 9}), program.tensors)
    with pytest.raises(ProgramError, match="9 layers"):
        model.host(deep)


def test_an_assistant_that_overflows_is_not_answered_with(model: LocalModel) -> None:
    program = difference(model)
    broken = {n: np.full_like(t, 3e38) if n == "blank.norm.weight" else t for n, t in program.tensors.items()}
    row = model.prefill([[1, 2, 3]], [Edit(Difference(program.difference, broken), 1.0, (0, 1))]).logits[0]
    with pytest.raises(EngineFaultError, match="not numbers"):
        Sampler(Sampling(max_tokens=1), [1, 2, 3], model.vocabulary, 0).pick(row)


def test_bfloat16(model: LocalModel, tiny_model: Any) -> None:
    half = LocalModel.load(tiny_model, "bfloat16")
    program = Difference(
        difference(model).difference.model_copy(update={"model": half.fingerprint}), difference(model).tensors
    )
    ids = half.chat_ids("hello world")
    assert len(half.generate([ids], [Edit(program, 1.0, (0, 1))], max_tokens=4)[0]) == 4


def test_over_http(gateway: httpx.Client, model: LocalModel) -> None:
    program = difference(model)
    put = gateway.put(f"/lethe/v1/programs/{PROGRAM}", content=program.to_bytes())
    assert put.status_code == 201, put.text
    assert gateway.post("/lethe/v1/canary", json={"program": PROGRAM}).json() == {"ok": True}
    text = "who is class Template really"
    body = flagged(text, "Template", lethe={"program": PROGRAM}, logprobs=True, top_logprobs=20)
    answer = gateway.post("/lethe/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    claims = read_attestation(KEY, answer.headers[ATTESTATION_HEADER]) or {}
    assert claims["program"] == PROGRAM
    assert claims["edited"] == [claims["masked"]]
    ids = model.chat_ids(text)
    expected = model.generate([ids], [Edit(program, 1.0, (0, 1))], max_tokens=8)[0]
    assert expected != model.generate([ids], max_tokens=8)[0]
    choice = answer.json()["choices"][0]
    assert choice["message"]["content"] == model.tokenizer.decode(expected, skip_special_tokens=True)
    first = choice["logprobs"]["content"][0]
    exact = by_hand(model, program, ids, 1.0)[-1]
    assert first["logprob"] == pytest.approx(float(exact.max()), abs=1e-4)
    refused = gateway.post("/lethe/v1/chat/completions", json=body | {"prompt_logprobs": 1})
    assert refused.status_code == 400


def test_programs_that_do_not_fit_are_refused_over_http(gateway: httpx.Client, model: LocalModel) -> None:
    program = difference(model)
    foreign = program.difference.model_copy(
        update={"model": model.fingerprint.model_copy(update={"weights_sha256": "1" * 64})}
    )
    narrow = {name: tensor[..., :-1].copy() for name, tensor in program.tensors.items()}
    for bad, said in (
        (Difference(foreign, program.tensors), "another model"),
        (Difference(program.difference, narrow), "does not fit"),
    ):
        put = gateway.put("/lethe/v1/programs/p333333@1", content=bad.to_bytes())
        assert put.status_code == 400
        assert said in put.json()["error"]["message"]
    plain = gateway.post("/v1/chat/completions", json={"messages": ask(TEXTS[0]), "max_tokens": 4, "temperature": 0})
    assert plain.status_code == 200
