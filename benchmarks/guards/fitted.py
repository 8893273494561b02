"""Policies -> guard: fitted once, kept on disk where asked, and frozen under a hash."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import guards
from benchmarks.guards.policies import Policy
from guards.examples import neighbours, positives, questions
from guards.fit import fit
from guards.whole import Whole

KEY, OTHER_KEY = bytes(32), bytes([7] * 32)
"""Secret of the fits; the surrogate's, by which an attacker would fit a guard of his own."""


def fitted(
    policies: Sequence[Policy],
    key: bytes,
    folder: Path | None,
    done: Callable[[], object],
    whole: Whole | None = None,
) -> dict[str, bytes]:
    """Fit every policy, or read the part that an earlier run left in `folder`; `done` is called after each.

    A part is kept under the policy with its files, the key and the code of `guards`: what is changed is fitted again.
    With a second encoder, `whole`, policies about a subject get a second model.
    """
    parts = {}
    code = whole.encoder.fingerprint.encode() if whole is not None else b""
    code += b"".join(file.read_bytes() for file in sorted(Path(guards.__file__).parent.glob("*.py")))
    for policy in policies:
        texts = "\0".join([*questions(policy.spec, policy.base), *neighbours(policy.spec, policy.base)])
        name = hashlib.sha256(f"{policy.spec.model_dump_json()}{texts}".encode() + key + code).hexdigest()[:16]
        file = folder / f"{policy.number}-{name}.part" if folder else None
        if file and file.is_file():
            parts[policy.number] = file.read_bytes()
        else:
            part = fit(policy.spec, policy.base, key=key, progress=lambda *_: None, whole=whole)
            parts[policy.number] = part.to_bytes()
            if file:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(parts[policy.number])
        done()
    return parts


def fit_hash(parts: Mapping[str, bytes], alpha: float) -> str:
    """SHA-256 over the parts of all policies and the rate they are run at."""
    digest = hashlib.sha256(f"{alpha!r}".encode())
    for number, part in sorted(parts.items()):
        digest.update(f"\0{number}\0{len(part)}\0".encode() + part)
    return digest.hexdigest()


def fitting_texts(policies: Sequence[Policy], key: bytes) -> list[str]:
    """All texts that the fits see, benign ones not included: examples and their variants, and neighbours."""
    seed = int.from_bytes(hmac.digest(key, b"lethe guard fit", hashlib.sha256)[:8])
    texts: list[str] = []
    for policy in policies:
        asked = questions(policy.spec, policy.base)
        texts += asked + neighbours(policy.spec, policy.base)
        texts += [sample.text for sample in positives(policy.spec, asked, seed)]
    return texts
