"""Activation edits on a real vLLM: equal to the local engine in a mixed batch, and nobody else's business."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from steering.activation import Activation, EditProgram, parameters
from steering.composition import compose
from steering.engine.local.model import Edit, LocalModel
from steering.program import AnyProgram
from steering.weights import fingerprint
from tests.steering.engine.vllm.conftest import MakeProgram
from tests.steering.engine.vllm.driver import Ask, Engine, start
from tests.steering.engine.vllm.test_isolation import close, differs, prompt

pytestmark = pytest.mark.vllm

LAYERS = (0, 2)
COLUMNS = 14
CONFIG = {"lethe": {"edit": {"layers": list(LAYERS), "columns": COLUMNS}}}
SPANS = [4, 11, 30, 36]


def redirect(folder: Path, layer: int = 2, seed: int = 0, dose: float = 3.0) -> Activation:
    model = fingerprint(folder, "float32")
    move = np.random.default_rng(seed).standard_normal((1, model.hidden_size)).astype(np.float32) * dose
    edit = EditProgram(method="redirect", layers=(layer,), strength=1.0, most=16.0, model=model)
    return Activation(edit, np.zeros_like(move.T), parameters(1, constant=1.0), move)


def projection(folder: Path, seed: int = 0, rank: int = 3) -> Activation:
    """Acts after two layers."""
    model = fingerprint(folder, "float32")
    rng = np.random.default_rng(seed)
    bases = [np.linalg.qr(rng.standard_normal((model.hidden_size, rank)))[0] for _ in LAYERS]
    vectors = np.ascontiguousarray(np.concatenate(bases, axis=1), np.float32)
    layers = tuple(layer for layer in LAYERS for _ in range(rank))
    edit = EditProgram(method="projection", layers=layers, strength=1.0, most=1.0, model=model)
    return Activation(edit, vectors, parameters(2 * rank, slope=-1.0), np.ascontiguousarray(vectors.T))


def nullspace(folder: Path, seed: int = 2) -> Activation:
    """A gate of each token's own, of which some are closed, some open, and some between."""
    model = fingerprint(folder, "float32")
    rng = np.random.default_rng(seed)
    probe = rng.standard_normal((model.hidden_size, 1)).astype(np.float32) / model.hidden_size**0.5
    move = rng.standard_normal((1, model.hidden_size)).astype(np.float32) * 3
    edit = EditProgram(method="nullspace", layers=(2,), strength=1.0, most=16.0, model=model)
    return Activation(edit, probe, parameters(1, clipped=1.0, low=0.0, high=1.0), move)


def cast(folder: Path, seed: int = 3) -> Activation:
    """The first layer's cosine with a direction opens what the second one does."""
    model = fingerprint(folder, "float32")
    rng = np.random.default_rng(seed)
    c = rng.standard_normal((model.hidden_size, 1))
    probes = np.concatenate([c / np.linalg.norm(c) / model.hidden_size**0.5, np.zeros_like(c)], axis=1)
    move = np.concatenate([np.zeros_like(c).T, 3 * rng.standard_normal((1, model.hidden_size))])
    phi = parameters(1, threshold=0.0, step=1.0, normalised=1.0, gates=1.0), parameters(1, constant=1.0)
    edit = EditProgram(method="cast", layers=LAYERS, strength=1.0, most=16.0, model=model)
    return Activation(edit, probes.astype(np.float32), np.concatenate(phi, axis=1), move.astype(np.float32))


@pytest.fixture(scope="module")
def raw(tiny_model: Path) -> Iterator[Engine]:
    """An engine with edit sites that hands out the logits of the whole vocabulary."""
    with start(str(tiny_model), logprobs_mode="raw_logits", additional_config=CONFIG) as engine:
        assert engine.error is None, engine.error
        assert engine.rpc("lethe_hello")["sites"] == ["embed", "layer.0", "layer.2"]
        yield engine


@pytest.fixture(scope="module")
def loaded(raw: Engine, tiny_model: Path, make_program: MakeProgram) -> dict[str, tuple[AnyProgram, list[Any]]]:
    """Programs of five methods and one of two policies, and the head of an order for each."""
    together = compose({"p800005@1": redirect(tiny_model, seed=7), "p800006@1": projection(tiny_model, seed=9)})
    programs: dict[str, AnyProgram] = {
        "p800000@1": make_program("noise", dims=64),
        "p800001@1": redirect(tiny_model),
        "p800002@1": projection(tiny_model),
        "p800003@1": redirect(tiny_model, layer=0, seed=5),
        "p800004@1": nullspace(tiny_model),
        "p800014@1": cast(tiny_model),
        "p800005@1+p800006@1": together,
    }
    return {name: (program, [name, raw.load(name, program.to_bytes())]) for name, program in programs.items()}


def mixed(loaded: dict[str, tuple[AnyProgram, list[Any]]], count: int = 16) -> list[Ask]:
    """Every fifth request unflagged, the others under the programs in turn, with different doses."""
    heads = [head for _, head in loaded.values()]
    options = {"max_tokens": 6, "logprobs": -1}
    return [
        Ask(prompt(i, 50), None if i % 5 == 0 else [*heads[i % len(heads)], 0.5 + i % 3, SPANS], options=options)
        for i in range(count)
    ]


def test_a_mixed_batch_has_the_logits_of_the_local_engine(
    raw: Engine, loaded: dict[str, tuple[AnyProgram, list[Any]]], tiny_model: Path
) -> None:
    local, asks = LocalModel.load(tiny_model), mixed(loaded)
    for ask, got in zip(asks, raw.run(asks), strict=True):
        edit = None
        if ask.order is not None:
            edit = Edit(loaded[ask.order[0]][0], ask.order[2], tuple(SPANS), prompt=len(ask.ids))
            assert got.record is not None
            assert got.record[3:] == [13, 0, "ok"]
        (want,) = local.logits([ask.ids + got.tokens[0]], [edit])
        for step, row in enumerate(got.logprobs[0]):
            mine = want[len(ask.ids) - 1 + step]
            theirs = torch.tensor([row[t] for t in range(len(mine))])
            assert float((mine - theirs).abs().max()) < 1e-4 + 1e-5 * float(mine.abs().max())
            best = mine.topk(2).values
            if float(best[0] - best[1]) > 1e-3:
                assert int(mine.argmax()) == int(theirs.argmax())


def test_the_gates_of_the_mixed_batch_are_open_and_closed(tiny_model: Path) -> None:
    """Otherwise the comparison with the local engine would show little."""
    model, rows = LocalModel.load(tiny_model), [*range(4, 11), *range(30, 36)]
    first, second = torch.cat([model.activations([prompt(i, 50)], LAYERS)[0][:, rows] for i in range(16)], dim=1)
    conditions = first @ torch.from_numpy(cast(tiny_model).probes[:, 0]) > 0
    assert 0.1 < float(conditions.float().mean()) < 0.9
    gates = second @ torch.from_numpy(nullspace(tiny_model).probes[:, 0])
    assert all(float(share.float().mean()) > 0.05 for share in (gates < 0, gates > 1, (gates > 0.1) & (gates < 0.9)))


def test_e1_unflagged_rows_keep_their_bits(
    raw: Engine, loaded: dict[str, tuple[AnyProgram, list[Any]]], tiny_model: Path
) -> None:
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
    raw: Engine, loaded: dict[str, tuple[AnyProgram, list[Any]]], tiny_model: Path
) -> None:
    asks = [replace(ask, ids=prompt(i, 90), options={"max_tokens": 60}) for i, ask in enumerate(mixed(loaded, 12))]
    reference = raw.run(asks)
    small: dict[str, Any] = {
        "max_model_len": 160,
        "max_num_batched_tokens": 48,
        "max_num_seqs": 8,
        "num_gpu_blocks_override": 11,
    }
    with start(str(tiny_model), logprobs_mode="raw_logits", additional_config=CONFIG, **small) as other:
        assert other.error is None, other.error
        again = {name: other.load(name, program.to_bytes()) for name, (program, _) in loaded.items()}
        orders = [a.order and [a.order[0], again[a.order[0]], *a.order[2:]] for a in asks]
        got = other.run([replace(ask, order=o) for ask, o in zip(asks, orders, strict=True)])
        assert other.metric("vllm:num_preemptions") > 0
    assert all(close(a, b) for a, b in zip(got, reference, strict=True))


def test_the_next_turn_reuses_no_edited_answer(raw: Engine, loaded: dict[str, tuple[AnyProgram, list[Any]]]) -> None:
    """Generated tokens were edited; as part of the next prompt they are not, so their KV must not be shared."""
    head = loaded["p800001@1"][1]
    first = Ask(prompt(3, 70), [*head, 1.0, SPANS], options={"max_tokens": 80})
    (answer,) = raw.run([first])
    second = Ask(first.ids + answer.tokens[0][:70], [*head, 1.0, SPANS], options={"max_tokens": 8})
    (alone,) = raw.run([second])
    raw.run([first])
    (after,) = raw.run([second], reset=False)
    assert after.cached == 64, "the two whole blocks of the shared prompt, and none of the answer"
    assert close(after, alone)


def test_an_engine_without_edit_sites_refuses(engine: Engine, tiny_model: Path) -> None:
    staged = engine.rpc("lethe_stage", "p800009@1", redirect(tiny_model).to_bytes(), "0" * 64)
    assert not staged["ok"]
    assert "edit sites after layer none: start it with `lethe engine --edit-layers 2`" in staged["error"]


def test_sites_are_checked_at_start(tiny_model: Path) -> None:
    for given, reason in (
        ({"layers": [4]}, "the model has layers 0 to 3"),
        ({"layers": [0, 1, 2, 3, 4]}, "up to 4 layers"),
    ):
        with start(str(tiny_model), additional_config={"lethe": {"edit": given}}) as refused:
            assert refused.error is not None
            assert reason in refused.error


def test_a_program_needs_its_site_and_room(raw: Engine, loaded: Any, tiny_model: Path) -> None:
    before = raw.rpc("lethe_hello")
    cases = ((redirect(tiny_model, layer=1), "--edit-layers 1"), (projection(tiny_model, rank=5), "edit table is full"))
    for program, reason in cases:
        staged = raw.rpc("lethe_stage", "p800009@1", program.to_bytes(), "0" * 64)
        assert not staged["ok"]
        assert reason in staged["error"]
    assert raw.rpc("lethe_hello") == before


def test_columns_are_given_back(raw: Engine, loaded: Any, tiny_model: Path) -> None:
    """Each fills what is left: the second fits only where the first has gone."""
    for number in (5, 6):
        name = f"p80000{number}@1"
        generation = raw.load(name, projection(tiny_model, seed=number, rank=4).to_bytes())
        raw.run([Ask(prompt(number), [name, generation, 1.0, [4, 11]])])
        raw.run([Ask(prompt(1))])  # offline, the end of a request reaches the worker with the next step
        assert raw.rpc("lethe_remove", name, raw.rpc("lethe_hello")["table"])["ok"]


def test_a_broken_program_is_refused_and_where_forced_touches_its_own_request_only(
    raw: Engine, loaded: dict[str, tuple[AnyProgram, list[Any]]], tiny_model: Path
) -> None:
    broken = redirect(tiny_model, seed=8)
    broken.directions[0, 3] = np.nan
    staged = raw.rpc("lethe_stage", "p800008@1", broken.to_bytes(), "0" * 64)
    assert not staged["ok"]
    assert "finite" in staged["error"]
    asks = mixed(loaded)
    for number, tensor in ((10, "directions"), (11, "probes"), (12, "phi")):
        name = f"p8000{number}@1"
        generation = raw.load(name, redirect(tiny_model, seed=number).to_bytes())
        asks[7] = replace(asks[7], order=[name, generation, 1.0, SPANS])
        right = raw.run(asks)
        raw.poison(name, 2, tensor, float("nan"))
        for _ in range(2):  # the second run gets the blocks of the first
            got = raw.run(asks)
            assert got[7].logprobs != right[7].logprobs
            assert np.isfinite(list(got[7].logprobs[0][0].values())).all()
            for i in (*range(7), *range(8, len(asks))):
                assert (got[i].tokens, got[i].logprobs) == (right[i].tokens, right[i].logprobs), (tensor, i)
        raw.run([Ask(prompt(1))])
        assert raw.rpc("lethe_remove", name, raw.rpc("lethe_hello")["table"])["ok"]


@pytest.mark.parametrize("site", ["embed", "layer.0", "layer.2"])
def test_a_hook_that_is_silently_missing_ends_the_request(
    raw: Engine, loaded: dict[str, tuple[AnyProgram, list[Any]]], site: str
) -> None:
    """The network runs without a site, as it would from a stale artefact: nothing unedited leaves, or stays behind."""
    flagged = [Ask(prompt(i, 160), [*head, 1.0, SPANS]) for i, (_, head) in enumerate(loaded.values())]
    plain = Ask(prompt(20, 160))
    right = raw.run([*flagged, plain])
    raw.unhook(site)
    broken = raw.run([*flagged, plain])
    raw.unhook(site)
    for got in broken[:-1]:
        assert got.record is not None
        assert (got.record[5], got.finish, got.tokens) == ("hook-not-run", ["error"], [[]])
    assert (broken[-1].tokens, broken[-1].logprobs) == (right[-1].tokens, right[-1].logprobs)
    after = raw.run([*flagged, plain], reset=False)
    assert [got.cached for got in after[:-1]] == [0] * len(flagged)
    assert all(close(a, b) for a, b in zip(after, right, strict=True))
