"""Interrupted training on disk. What remembers forgotten texts is encrypted at rest, as in a bundle."""

from __future__ import annotations

import hashlib
import hmac
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One file, AES-256-GCM under a key that is derived from the bundle's."""

    path: Path
    key: bytes

    @classmethod
    def of(cls, folder: Path, key: bytes, role: str, *parts: str) -> Checkpoint:
        """The file of a training run; its name is a keyed digest of everything that the run depends on."""
        digest = hmac.new(key, "\0".join((role, *parts)).encode(), hashlib.sha256).hexdigest()
        return cls(folder / f"{role}-{digest[:16]}.ckpt", key)

    @property
    def _cipher(self) -> AESGCM:
        return AESGCM(HKDF(SHA256(), 32, None, b"lethe training").derive(self.key))

    def save(self, state: dict[str, Any]) -> None:
        """Write atomically."""
        buffer, once = io.BytesIO(), os.urandom(12)
        torch.save(state, buffer)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_bytes(once + self._cipher.encrypt(once, buffer.getvalue(), self.path.name.encode()))
        part.replace(self.path)

    def load(self) -> dict[str, Any] | None:
        """Read, or None where there is nothing. Raises ValueError for a file that the key does not open."""
        if not self.path.is_file():
            return None
        sealed = self.path.read_bytes()
        try:
            data = self._cipher.decrypt(sealed[:12], sealed[12:], self.path.name.encode())
        except InvalidTag:
            raise ValueError(f"{self.path} cannot be decrypted with this LETHE_BUNDLE_KEY: delete it") from None
        state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
        return state

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
