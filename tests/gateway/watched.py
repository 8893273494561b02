"""What the tests of the output guard in the gateway share: a policy with an index, and a gateway that holds it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from gateway.look import OutputScanner
from gateway.policy import ForgetPolicy
from guards.blindindex import BlindIndex, Item, index_of
from steering.bundle import Manifest, write_bundle
from steering.spec import ModelFingerprint
from tests.gateway.conftest import BUNDLE_KEY, Client, WordGuard, ready, serving, settings
from tests.gateway.upstream import FINGERPRINT, Engine

BARE, FLAGGED = "/v1/chat/completions", "/lethe/v1/chat/completions"
REFUSED = "I can't help with that."
ASKED = "where was the author of Silent Harbor born?"
BundleMaker = Callable[..., Path]


def index(key: bytes = b"k" * 32) -> BlindIndex:
    title, city = Item((0,), False, (), "never"), Item((), True, (0,), "never")
    alone = Item((), True, (0,), "always")
    entries = [(["silent", "harbor"], title), (["lisbon"], city), (["quistian", "codex"], alone)]
    return index_of(entries, key)


def bundles_of(tmp_path: Path) -> BundleMaker:
    """Writes a bundle with an index whose policy has these rules."""

    def make(number: str = "100001", without: bool = False, method: str = "eco", **rules: Any) -> Path:
        manifest = Manifest(
            number=number,
            version=1,
            method=method,
            mask="entities",
            model=ModelFingerprint(**FINGERPRINT),
            sites=("embedding",),
            created="2026-11-20",
        )
        rules = {"output": "enforce", **rules}
        policy = ForgetPolicy.model_validate({"id": "x", "guard": {"entities": [{"name": "A Wizard"}]}, "rules": rules})
        sensitive = {"policy": policy.model_dump_json().encode(), "guard": b"{}"}
        if not without:
            sensitive["output"] = index(number.encode() * 5 + b"kk").to_bytes()
        folder = tmp_path / f"watched-{number}"
        program = save({"substitute": np.zeros(8, np.float32)})
        write_bundle(folder, manifest, program, sensitive, "# card\n", bytes.fromhex(BUNDLE_KEY))
        return folder

    return make


@asynccontextmanager
async def gateway(
    engine: Engine, *bundles: Path, output: OutputScanner | None = None, **more: Any
) -> AsyncIterator[Client]:
    numbers = [folder.name.removeprefix("watched-") for folder in bundles]
    async with serving(settings(engine.url, bundles, **more), WordGuard(numbers), output) as client:
        await ready(client)
        yield client


def order(engine: Engine, at: int = 0, route: str = FLAGGED) -> dict[str, Any]:
    found: dict[str, Any] = engine.of(route)[at].json["lethe"]
    return found
