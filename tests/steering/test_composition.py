"""Two activation programs as one: the same whatever their order, and nothing left of either subspace."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from steering.activation import PHI, Activation, ActivationError, EditProgram, parameters
from steering.composition import compose, union
from steering.engine.local.model import Edit, LocalModel
from steering.plan import PROGRAM_NAME, joined
from steering.program import load_program
from steering.spec import ModelFingerprint
from steering.weights import fingerprint

HIDDEN = 48
MODEL = ModelFingerprint(id="m", weights_sha256="0" * 64, dtype="float32", hidden_size=HIDDEN)


def basis(seed: int, rank: int, hidden: int = HIDDEN) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    made: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    made = np.linalg.qr(np.random.default_rng(seed).standard_normal((hidden, rank)))[0]
    return made


def projection(
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    layer: int = 1,
    share: float = 1.0,
    model: ModelFingerprint = MODEL,
) -> Activation:
    k, q = vectors.shape[1], np.ascontiguousarray(vectors, np.float32)
    edit = EditProgram(method="projection", layers=(layer,) * k, strength=0.5, most=1 / share, model=model)
    return Activation(edit, q, parameters(k, slope=-share), np.ascontiguousarray(q.T))


def redirect(seed: int = 1, layer: int = 1, model: ModelFingerprint = MODEL) -> Activation:
    move = np.random.default_rng(seed).standard_normal((1, model.hidden_size)).astype(np.float32)
    edit = EditProgram(method="redirect", layers=(layer,), strength=1.5, most=16.0, model=model)
    return Activation(edit, np.zeros_like(move.T), parameters(1, constant=1.0), move)


def gated() -> Activation:
    one = redirect()
    phi = np.concatenate([parameters(1, step=1.0, threshold=0.0, gates=1.0), one.phi], axis=1)
    edit = one.edit.model_copy(update={"method": "cast", "layers": (0, 1)})
    return Activation(
        edit,
        np.ones((HIDDEN, 2), np.float32),
        phi,
        np.concatenate([np.zeros((1, HIDDEN), np.float32), one.directions]),
    )


def test_the_order_in_which_programs_are_given_changes_nothing() -> None:
    one, other = projection(basis(1, 3)), projection(np.concatenate([basis(1, 3)[:, :1], basis(2, 2)], axis=1))
    third = redirect(layer=0)
    for programs in (
        {"p100001@1": one, "p100002@1": other},
        {"p100001@1": one, "p100002@1": third},
        {"p100002@1": other, "p100001@3": third},
    ):
        backwards = dict(reversed(programs.items()))
        assert compose(programs).to_bytes() == compose(backwards).to_bytes()
        assert joined(*programs) == joined(*backwards)
    assert joined("p100002@3", "p100001@1") == "p100001@1+p100002@3"


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-7, 1e-5, 1e-3, 0.1, 1.0])
def test_nothing_is_left_of_two_subspaces_that_share_directions(angle: float) -> None:
    """Issue: at most 1e-5 of either; one after the other, or with both sets of columns, far more stays."""
    whole = basis(5, 6)
    tilted = np.cos(angle) * whole[:, 1] + np.sin(angle) * whole[:, 5]
    first, second = whole[:, [0, 1, 2]], np.stack([whole[:, 3], tilted, (whole[:, 0] + whole[:, 4]) / 2**0.5], axis=1)
    second = np.linalg.qr(second)[0]
    both = compose({"p100002@1": projection(second), "p100001@1": projection(first)})
    h = np.random.default_rng(6).standard_normal((20, HIDDEN))
    u, v, slope = (x.astype(np.float64) for x in (both.probes, both.directions, both.phi[2]))
    after = h + (h @ u * slope) @ v
    for vectors in (first, second):
        left = np.linalg.norm(after @ vectors, axis=1) / np.linalg.norm(h, axis=1)
        assert left.max() <= 1e-5
    assert both.probes.shape[1] == (5 if angle < 3e-6 else 6)
    plain = h - h @ first @ first.T - h @ second @ second.T
    assert np.linalg.norm(plain @ first, axis=1).max() > 0.1, "the sum of both edits takes what they share twice"


def test_a_union_is_orthonormal_and_keeps_what_is_outside_of_both() -> None:
    found = union([basis(1, 4), basis(2, 3)])
    np.testing.assert_allclose(found.T @ found, np.eye(7), atol=1e-12)
    for seed, rank in ((1, 4), (2, 3)):
        np.testing.assert_allclose(found @ found.T @ basis(seed, rank), basis(seed, rank), atol=1e-12)
    np.testing.assert_allclose(union([basis(1, 4), basis(1, 4)[:, ::-1]]), union([basis(1, 4)]), atol=1e-12)


def test_the_larger_share_counts() -> None:
    both = compose({"p100001@1": projection(basis(1, 2), share=0.5), "p100002@1": projection(basis(2, 2))})
    assert set(both.phi[2]) == {-1.0}
    assert both.edit.most == 1.0


def test_other_columns_stand_beside_each_other(tiny_model: Path) -> None:
    """On a real model: two moves after one layer, and a projection after another, against hooks written out."""
    model = LocalModel.load(tiny_model)
    identity = fingerprint(tiny_model, "float32")
    q = basis(3, 4, 256)
    one, other = redirect(1, 1, identity), redirect(2, 1, identity)
    removed = projection(q, 2, model=identity)
    ids, spans = [0, 2, *range(40, 60), 3], (4, 9, 12, 20)
    rows = [*range(4, 9), *range(12, 20)]
    moves = {name: torch.from_numpy(p.directions[0]).double() for name, p in (("one", one), ("other", other))}

    def change(layer: int, h: torch.Tensor) -> torch.Tensor:
        if layer == 1:
            return h + 0.5 * moves["one"] + 0.5 * moves["other"]
        basis_ = torch.from_numpy(q)
        return h - 0.5 * (h @ basis_) @ basis_.T

    for programs, layers in (
        ({"p1": one, "p2": other}, (1,)),
        ({"p1": compose({"a": one, "b": other}), "p2": removed}, (1, 2)),
    ):
        want = hooked(model, ids, rows, layers, change)
        (got,) = model.logits([ids], [Edit(compose(programs), 0.5, spans)])
        torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-4)


def hooked(
    model: LocalModel,
    ids: list[int],
    rows: list[int],
    layers: tuple[int, ...],
    change: Callable[[int, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    def hook(layer: int) -> Callable[..., object]:
        def after(_module: object, _args: object, output: object) -> object:
            hidden = output[0] if isinstance(output, tuple) else output
            assert isinstance(hidden, torch.Tensor)
            hidden[0, rows] = change(layer, hidden[0, rows].double()).float()
            return output

        return after

    handles = [model.network.model.layers[layer].register_forward_hook(hook(layer)) for layer in layers]
    try:
        logits: torch.Tensor = model.network(input_ids=torch.tensor([ids])).logits[0].detach()
    finally:
        for handle in handles:
            handle.remove()
    return logits


def test_what_does_not_compose_is_explained() -> None:
    def altered(program: Activation, **changed: object) -> Activation:
        return replace(program, edit=program.edit.model_copy(update=changed))

    many = projection(basis(1, 3))
    for first, second, reason in (
        (redirect(), altered(redirect(), model=MODEL.model_copy(update={"dtype": "bfloat16"})), "different models"),
        (redirect(), gated(), "a condition gates whole rows"),
        (altered(many, layers=(0, 1, 2)), altered(many, layers=(3, 4, 5)), "up to 4 layers"),
    ):
        with pytest.raises(ActivationError, match=reason):
            compose({"p100001@1": first, "p100002@1": second})


def test_a_composed_program_is_one_like_any_other() -> None:
    both = compose({"p100001@1": redirect(), "p100002@1": projection(basis(1, 3), layer=0)})
    again = load_program(both.to_bytes())
    assert isinstance(again, Activation)
    assert again.to_bytes() == both.to_bytes()
    assert again.edit.sites == (0, 1)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("p100001@1", True),
        ("p100001@1+p100002@13", True),
        ("p100001@1+", False),
        ("p100001@1+p100002@1+p100003@1", False),
        ("p100001@1 p100002@1", False),
        ("p1@1", False),
    ],
)
def test_names(name: str, fits: bool) -> None:
    assert bool(re.match(PROGRAM_NAME, name)) is fits


def test_where_trained_projections_move_to_is_kept() -> None:
    """h' = h - P h + the shifts of both: with disjoint bases each keeps its own."""
    made = np.linalg.qr(np.random.default_rng(3).standard_normal((HIDDEN, 6)))[0]
    shifted = []
    for half, constants in ((made[:, :3], [1.0, -2.0, 0.5]), (made[:, 3:], [0.0, 3.0, 1.0])):
        one = projection(half)
        one.phi[PHI.index("constant")] = constants
        shifted.append(one)
    both = compose({"a": shifted[0], "b": shifted[1]})
    h = np.random.default_rng(4).standard_normal(HIDDEN)
    y = both.phi[PHI.index("constant")] + both.phi[PHI.index("slope")] * (h @ both.probes)
    want = h - made @ (made.T @ h) + made @ np.array([1.0, -2.0, 0.5, 0.0, 3.0, 1.0])
    np.testing.assert_allclose(h + y @ both.directions, want, atol=1e-5)
