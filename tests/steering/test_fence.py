"""Signatures and attestations."""

from __future__ import annotations

import time

import pytest

from steering.fence import Fence, attest, read_attestation, sign

KEY = b"0123456789abcdef"


def check(fence: Fence, value: str, method: str = "POST", target: bytes = b"/v1/x?a=1", body: bytes = b"{}") -> bool:
    return fence.check(value, method, target, body) is not None


def test_a_signature_holds_once_and_for_its_request_only() -> None:
    fence = Fence(KEY)
    value, nonce = sign(KEY, "POST", "/v1/x?a=1", b"{}")
    assert not check(fence, value, method="PUT")
    assert not check(fence, value, target=b"/v1/x")
    assert not check(fence, value, body=b"{ }")
    assert not check(Fence(b"another key 0123"), value)
    assert fence.check(value, "POST", b"/v1/x?a=1", b"{}") == nonce
    assert not check(fence, value)


@pytest.mark.parametrize("age", [-31, 31, 3600])
def test_old_and_future_signatures_are_refused(age: int) -> None:
    value, _ = sign(KEY, "POST", "/v1/x?a=1", b"{}", time.time() - age)
    assert not check(Fence(KEY), value)


@pytest.mark.parametrize("value", ["", "a.b.c", "1.2", "²³.x.y", "9" * 30 + ".a.b", "1.é.ü"])
def test_garbage_is_refused(value: str) -> None:
    assert not check(Fence(KEY), value)


def test_a_full_memory_of_nonces_closes_the_fence_rather_than_forgetting() -> None:
    fence = Fence(KEY, max_nonces=2)
    assert [check(fence, sign(KEY, "POST", "/v1/x?a=1", b"{}")[0]) for _ in range(3)] == [True, True, False]


def test_short_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Fence(b"short")


def test_attestations() -> None:
    value = attest(KEY, {"nonce": "n", "edited": [3]})
    assert read_attestation(KEY, value) == {"nonce": "n", "edited": [3]}
    assert read_attestation(b"another key 0123", value) is None
    assert read_attestation(KEY, "x" + value) is None
    assert read_attestation(KEY, "") is None
