"""The bundle that `lethe compile` writes: manifest, engine program, encrypted sensitive part, card.

    BUNDLE/manifest.json           what it is, for which model, how it was calibrated; no names
    BUNDLE/program.safetensors     what the engine loads; encrypted as well where it is derived from forgotten text
    BUNDLE/sensitive.bin           policy, aliases, linear weights, vectors: AES-256-GCM under LETHE_BUNDLE_KEY
    BUNDLE/CARD.md                 measured figures for people; no names

Torch-free and without pickle. Everything read is checked against the hashes in the manifest, and the manifest is the
associated data of the encryption, so that parts of two bundles cannot be mixed by whoever lacks the key.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.numpy import load, save

from steering.plan import program_id
from steering.spec import Mask, ModelFingerprint

MANIFEST, PROGRAM, SENSITIVE, CARD = "manifest.json", "program.safetensors", "sensitive.bin", "CARD.md"
KEY_BYTES = 32


class BundleError(ValueError):
    """A bundle that cannot be used; the text says which one and what to do."""


class Manifest(BaseModel):
    """What a bundle is. Public: names, texts and whatever is derived from them stay in the sensitive part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    number: str = Field(pattern=r"^[0-9]{6,12}$")
    version: int = Field(ge=1)
    method: str
    mask: Mask
    model: ModelFingerprint
    sites: tuple[str, ...]
    calibration: dict[str, Any] = {}
    created: str
    sha256: dict[str, str] = {}

    @property
    def sealed(self) -> bool:
        """Whether the program is encrypted.

        A corruption of embeddings knows nothing of what it hides, a direction in the residual stream does.
        """
        return self.sites != ("embed",)

    @property
    def program_id(self) -> str:
        """Name of the program in the engine."""
        return program_id(self.number, self.version)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in memory, checked and decrypted."""

    manifest: Manifest
    program: bytes
    sensitive: Mapping[str, bytes]


def parse_key(text: str) -> bytes:
    """Read `LETHE_BUNDLE_KEY`: 64 hexadecimal digits (`lethe keygen` prints one). Raises `BundleError`."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BundleError("LETHE_BUNDLE_KEY must be 64 hexadecimal digits; `lethe keygen` prints a fresh one")
    return key


def _cipher(key: bytes, manifest: Manifest) -> AESGCM:
    """One derived key per policy number and version, so that random nonces can never collide across bundles."""
    info = f"lethe bundle {manifest.number} {manifest.version}".encode()
    return AESGCM(HKDF(SHA256(), KEY_BYTES, None, info).derive(key))


def _identity(manifest: Manifest) -> bytes:
    """The manifest without its hashes: what the encrypted part is bound to."""
    return manifest.model_dump_json(exclude={"sha256": {SENSITIVE}}).encode()


def write_bundle(
    folder: Path, manifest: Manifest, program: bytes, sensitive: Mapping[str, bytes], card: str, key: bytes
) -> Manifest:
    """Write a bundle atomically, replacing an older one at the same place; return the manifest with its hashes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if manifest.sealed:
        once = os.urandom(12)
        program = once + _cipher(key, manifest).encrypt(once, program, PROGRAM.encode())
    digests = {PROGRAM: hashlib.sha256(program).hexdigest(), CARD: hashlib.sha256(card.encode()).hexdigest()}
    manifest = manifest.model_copy(update={"sha256": digests})
    nonce = os.urandom(12)
    plain = save({name: np.frombuffer(data, np.uint8) for name, data in sensitive.items()})
    sealed = nonce + _cipher(key, manifest).encrypt(nonce, plain, _identity(manifest))
    manifest = manifest.model_copy(update={"sha256": {**digests, SENSITIVE: hashlib.sha256(sealed).hexdigest()}})
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (staging / PROGRAM).write_bytes(program)
        (staging / SENSITIVE).write_bytes(sealed)
        (staging / CARD).write_text(card, encoding="utf-8")
        (staging / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
            folder.rename(retired / "bundle")
            staging.rename(folder)
            shutil.rmtree(retired)
        else:
            staging.rename(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the public part only. Raises `BundleError`."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a bundle: {MANIFEST} is missing; run `lethe compile`") from None
    except ValidationError as error:
        raise BundleError(f"{folder / MANIFEST} does not fit this version of lethe; compile again\n{error}") from None


def read_bundle(folder: Path, key: bytes) -> Bundle:
    """Read, check and decrypt a bundle. Raises `BundleError`."""
    manifest = read_manifest(folder)
    try:
        parts = {name: (folder / name).read_bytes() for name in (PROGRAM, SENSITIVE)}
    except FileNotFoundError as error:
        raise BundleError(f"{folder} is incomplete: {error.filename} is missing; compile again") from None
    for name, data in parts.items():
        if hashlib.sha256(data).hexdigest() != manifest.sha256.get(name):
            raise BundleError(f"{folder / name} was changed after it was compiled; compile again")
    sealed = parts[SENSITIVE]
    program = parts[PROGRAM]
    try:
        plain = _cipher(key, manifest).decrypt(sealed[:12], sealed[12:], _identity(manifest))
        if manifest.sealed:
            program = _cipher(key, manifest).decrypt(program[:12], program[12:], PROGRAM.encode())
    except InvalidTag:
        raise BundleError(
            f"{folder}: LETHE_BUNDLE_KEY is not the key of this bundle, or its manifest was edited"
        ) from None
    sensitive = {name: data.tobytes() for name, data in load(plain).items()}
    check_program(program, str(folder / PROGRAM))
    return Bundle(manifest, program, sensitive)


def check_program(data: bytes, where: str) -> None:
    """Refuse a program that holds a value which is not finite. Raises `BundleError`."""
    try:
        tensors = load(data)
    except Exception as error:  # safetensors raises its own exception class and plain ones
        raise BundleError(f"{where} is not a safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise BundleError(f"{where}: tensor {name} holds a value that is not finite")
