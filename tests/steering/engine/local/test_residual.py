"""Activation edits on the local engine: the right tokens of the right rows, batch equal to solo, and over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import torch

from steering.activation import Activation, EditProgram, parameters
from steering.engine.local.model import Edit, LocalModel
from steering.engine.local.residual import EngineFaultError
from tests.steering.engine.local.conftest import ask, program

SPANS = (1, 3)


def redirect(model: LocalModel, layer: int = 1, seed: int = 0, length: float = 3.0) -> Activation:
    move = np.random.default_rng(seed).standard_normal((1, 256)).astype(np.float32) * length
    edit = EditProgram(method="redirect", layers=(layer,), strength=1.0, most=16.0, model=model.fingerprint)
    return Activation(edit, np.zeros_like(move.T), parameters(1, constant=1.0), move)


def projection(model: LocalModel, layers: tuple[int, ...] = (0, 0, 2), share: float = 1.0) -> Activation:
    q = np.linalg.qr(np.random.default_rng(4).standard_normal((256, len(layers))))[0].astype(np.float32)
    edit = EditProgram(method="projection", layers=layers, strength=0.1, most=1 / share, model=model.fingerprint)
    return Activation(edit, q, parameters(len(layers), slope=-share), np.ascontiguousarray(q.T))


def streams(model: LocalModel, ids: list[int], edit: Edit | None, layers: tuple[int, ...]) -> dict[int, torch.Tensor]:
    """What the layer behind each of `layers` reads, [tokens, hidden]."""
    kept: dict[int, torch.Tensor] = {}

    def keep(layer: int) -> Callable[..., None]:
        return lambda _module, args: kept.update({layer: args[0][0]})

    stack = model.network.model.layers
    handles = [stack[layer + 1].register_forward_pre_hook(keep(layer)) for layer in layers]
    model.logits([ids], [edit])
    for handle in handles:
        handle.remove()
    return kept


def test_positions(model: LocalModel) -> None:
    positions = redirect(model).positions
    assert positions(0, 10, 10, (0, 3, 5, 8)) == [(0, 3), (5, 8)]
    assert positions(4, 3, 10, (0, 3, 5, 8)) == [(5, 7)]
    assert positions(10, 1, 10, (0, 3)) == [(10, 11)]
    assert positions(8, 4, 10, (5, 9)) == [(8, 9), (10, 12)]
    assert positions(0, 5, 5, (0, 1)) == [(0, 1)]


def test_only_masked_and_generated_tokens_are_moved(model: LocalModel, batch: list[list[int]]) -> None:
    change = redirect(model)
    ids, answer = batch[3], [9, 10]
    plain = streams(model, ids + answer, None, (1,))[1]
    moved = streams(model, ids + answer, Edit(change, 0.5, (0, 3), prompt=len(ids)), (1,))[1]
    found = moved - plain
    expected = torch.zeros_like(found)
    expected[[0, 1, 2, -2, -1]] = 0.5 * torch.from_numpy(change.directions[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_projection_leaves_nothing_in_its_subspace(model: LocalModel, batch: list[list[int]]) -> None:
    change = projection(model)
    after = streams(model, batch[3], Edit(change, 4.0, SPANS), (0, 2))
    for layer, columns in ((0, [0, 1]), (2, [2])):
        left = after[layer] @ torch.from_numpy(change.probes[:, columns])
        assert left[1:3].abs().max() < 1e-4
        assert left[3:].abs().max() > 1e-2


def test_batch_equals_solo(model: LocalModel, batch: list[list[int]]) -> None:
    edits = [
        Edit(redirect(model), 1.0, SPANS),
        Edit(program(model), 1.0, SPANS),
        None,
        Edit(projection(model), 1.0, SPANS),
    ]
    edits.append(Edit(redirect(model, layer=2, seed=3), 2.0, SPANS))
    asked = [*batch[:1], batch[1], batch[2], batch[3], batch[3]]
    asked = [ids + ids if len(ids) < 3 else ids for ids in asked]
    for ids, each, together in zip(asked, edits, model.logits(asked, edits), strict=True):
        alone = model.logits([ids], [each])[0]
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert model.generate(asked, edits, 16) == [
        model.generate([i], [e], 16)[0] for i, e in zip(asked, edits, strict=True)
    ]


def test_decoding_moves_what_one_forward_pass_moves(model: LocalModel, batch: list[list[int]]) -> None:
    edit = Edit(redirect(model), 1.0, SPANS, prompt=len(batch[3]))
    (answer,) = model.generate(batch[3:], [edit], max_tokens=12)
    whole = model.logits([batch[3] + answer], [edit])[0][len(batch[3]) - 1 :]
    assert whole[: len(answer)].argmax(dim=1).tolist() == answer
    unmoved = model.logits([batch[3] + answer], [Edit(redirect(model), 1.0, SPANS)])[0][len(batch[3]) - 1 :]
    assert (whole[1:] - unmoved[1:]).abs().max() > 1e-3


def test_unflagged_rows_keep_their_bits(model: LocalModel, batch: list[list[int]]) -> None:
    asked = [batch[3], batch[3]]
    mixed = [None, Edit(redirect(model), 1.0, SPANS)]
    (plain, _), (beside, moved) = (model.logits(asked, edits) for edits in (None, mixed))
    assert torch.equal(plain, beside)
    assert not torch.equal(plain, moved)


def test_a_layer_that_does_not_run_is_an_error(
    model: LocalModel, batch: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = SimpleNamespace(remove=lambda: None)
    monkeypatch.setattr(model.network.model.layers[1], "register_forward_hook", lambda _: deaf)
    with pytest.raises(EngineFaultError, match=r"layers \[1\] did not run"):
        model.logits([batch[3]], [Edit(redirect(model), 1.0, SPANS)])


def test_a_model_without_such_a_layer(model: LocalModel, batch: list[list[int]]) -> None:
    with pytest.raises(EngineFaultError, match="layer 9 of a model that has 4"):
        model.logits([batch[3]], [Edit(redirect(model, layer=9), 1.0, SPANS)])


def test_bfloat16(tiny_model: Path, batch: list[list[int]]) -> None:
    half = LocalModel.load(tiny_model, dtype="bfloat16")
    edit = Edit(redirect(half), 1.0, SPANS)
    assert streams(half, batch[3], edit, (1,))[1].dtype == torch.bfloat16


def test_over_http(model: LocalModel, gateway: httpx.Client) -> None:
    name = "p123460@1"
    gateway.put(f"/lethe/v1/programs/{name}", content=redirect(model).to_bytes()).raise_for_status()
    gateway.post("/lethe/v1/canary", json={"program": name}).raise_for_status()
    order = {"program": name, "dose": 1.0, "mask": "content", "windows": {"/messages/0/content": [[0, 5]]}}
    body = {"messages": ask(), "max_tokens": 8, "temperature": 0, "cache_salt": "s"}
    answers = [
        gateway.post(path, json=body | extra).raise_for_status().json()["choices"][0]["message"]["content"]
        for path, extra in (("/v1/chat/completions", {}), ("/lethe/v1/chat/completions", {"lethe": order}))
    ]
    assert answers[0] != answers[1]
    wrong = gateway.put("/lethe/v1/programs/p123461@1", content=redirect(model, layer=4).to_bytes())
    assert wrong.status_code == 400
    assert "layer 4 of a model with 4 layers" in wrong.text


def test_activations_are_those_that_the_next_layer_reads(model: LocalModel, batch: list[list[int]]) -> None:
    found = model.activations(batch, (0, 2))
    for ids, both in zip(batch, found, strict=True):
        alone = streams(model, ids, None, (0, 2))
        torch.testing.assert_close(both, torch.stack([alone[0], alone[2]]), atol=1e-4, rtol=1e-4)
