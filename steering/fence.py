"""HMAC fence between gateway and engine: the gateway signs requests, the engine signs attestations.

Torch-free: both sides import it. The signature covers time, nonce, method, target (path plus query) and the body's
hash, so a captured request can neither be altered nor sent to another route, nor replayed to the same process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

AUTH_HEADER = "x-lethe-auth"
ATTESTATION_HEADER = "x-lethe-attestation"
MIN_KEY_BYTES = 16


def _mac(key: bytes, label: bytes, *parts: bytes) -> str:
    return hmac.new(key, b"\n".join((label, *parts)), hashlib.sha256).hexdigest()


def sign(key: bytes, method: str, target: str, body: bytes, now: float | None = None) -> tuple[str, str]:
    """Return (value of `x-lethe-auth`, nonce). `target` is path plus query exactly as sent on the wire."""
    stamp, nonce = str(int(time.time() if now is None else now)), secrets.token_hex(8)
    digest = hashlib.sha256(body).hexdigest()
    mac = _mac(key, b"lethe1", stamp.encode(), nonce.encode(), method.encode(), target.encode(), digest.encode())
    return f"{stamp}.{nonce}.{mac}", nonce


class Fence:
    """Checks signatures on the engine's side and remembers nonces for as long as their time stamp is accepted.

    Nonces are remembered per process: with several API processes a replay to another one within `skew` seconds is
    possible. It repeats an answer to whoever already holds the signed request; programs cannot be changed by it,
    because every commit is a compare-and-set on the table version.
    """

    def __init__(self, key: bytes, skew: float = 30.0, max_nonces: int = 200_000) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"LETHE_ENGINE_KEY must have at least {MIN_KEY_BYTES} bytes, got {len(key)}")
        self.key, self.skew, self.max_nonces = key, skew, max_nonces
        self._seen: dict[str, float] = {}

    def check(self, value: str, method: str, target: bytes, body: bytes) -> str | None:
        """Return the nonce of an authentic, fresh request, else None."""
        parts = value.split(".")
        if len(parts) != 3 or not (parts[0].isascii() and parts[0].isdigit()) or len(parts[0]) > 12:
            return None
        stamp, nonce, given = parts
        now = time.time()
        if abs(now - int(stamp)) > self.skew:
            return None
        digest = hashlib.sha256(body).hexdigest()
        want = _mac(self.key, b"lethe1", stamp.encode(), nonce.encode(), method.encode(), target, digest.encode())
        if not hmac.compare_digest(want.encode(), given.encode()) or nonce in self._seen:
            return None
        if len(self._seen) >= self.max_nonces:
            self._seen = {n: t for n, t in self._seen.items() if now - t <= 2 * self.skew}
            if len(self._seen) >= self.max_nonces:
                return None
        self._seen[nonce] = now
        return nonce


def attest(key: bytes, claims: dict[str, Any]) -> str:
    """Sign what the engine did with a flagged request: value of `x-lethe-attestation`."""
    raw = base64.urlsafe_b64encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{raw.decode()}.{_mac(key, b'lethe attestation', raw)}"


def read_attestation(key: bytes, value: str) -> dict[str, Any] | None:
    """Return the claims of a genuine attestation, else None."""
    raw, _, mac = value.partition(".")
    if not hmac.compare_digest(_mac(key, b"lethe attestation", raw.encode()).encode(), mac.encode()):
        return None
    claims = json.loads(base64.urlsafe_b64decode(raw))
    return claims if isinstance(claims, dict) else None
