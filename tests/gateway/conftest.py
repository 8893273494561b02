"""The real gateway over real sockets, in front of a scripted upstream."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import hypothesis
import numpy as np
import pytest
import uvicorn
from safetensors.numpy import save

from gateway.app import create_app
from gateway.lifecycle import Scanner
from gateway.look import OutputScanner
from gateway.policy import ForgetPolicy
from gateway.settings import Settings
from guards.verdict import Span, TextPart, Verdict
from steering.bundle import Manifest, write_bundle
from steering.spec import ModelFingerprint
from tests.gateway.upstream import ENGINE_KEY, FINGERPRINT, MODEL, Engine

# a busy machine is no counterexample
hypothesis.settings.register_profile("gateway", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("gateway")

BUNDLE_KEY = "ab" * 32
SECRET = "wizard"


class WordGuard:
    """Flags every text that holds the word; what it saw is kept."""

    def __init__(self, numbers: Sequence[str], word: str = SECRET) -> None:
        self.numbers, self.word = numbers, word
        self.scanned: list[list[TextPart]] = []
        self.error: Exception | None = None
        self.second = False

    def scan(self, parts: Sequence[TextPart], policies: Collection[str] | None = None) -> list[Verdict]:
        self.scanned.append(list(parts))
        if self.error is not None:
            raise self.error
        found = [
            Span(i, at, at + len(self.word)) for i, part in enumerate(parts) if (at := part.text.find(self.word)) >= 0
        ]
        windows = tuple(Span(span.part, 0, len(parts[span.part].text)) for span in found)
        p_value = 0.001 if found else 1.0
        return [
            Verdict(
                number, bool(found), float(bool(found)), p_value, "alias", tuple(found), windows, second=self.second
            )
            for number in self.numbers
            if policies is None or number in policies
        ]


class Client:
    """Asks a running gateway."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.base, self.session = base, session

    async def post(
        self, path: str, body: Any = None, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        raw = io.BytesIO(json.dumps(body).encode() if data is None else data)
        headers = {"content-type": "application/json", **(headers or {})}
        async with self.session.post(self.base + path, headers=headers, data=raw) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        async with self.session.get(self.base + path, headers=headers) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def chat(self, text: str = "hello", **more: Any) -> Answer:
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}
        return await self.post("/v1/chat/completions", body)


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers.items()}

    @property
    def error(self) -> dict[str, Any]:
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error


class QuietServer(uvicorn.Server):
    """Leaves the signal handlers of the test process alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    settings: Settings, guard: Scanner | None = None, output: OutputScanner | None = None
) -> AsyncIterator[Client]:
    app = create_app(settings, guard, output)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http="httptools", access_log=False, server_header=False, log_config=None, timeout_graceful_shutdown=2
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.005)
    try:
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            yield Client(f"http://127.0.0.1:{listener.getsockname()[1]}", session)
    finally:
        server.should_exit = True
        await task
        listener.close()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle of a policy with these rules."""

    def make(number: str = "100001", version: int = 1, mask: str = "entities", **rules: Any) -> Path:
        model = ModelFingerprint(**FINGERPRINT)
        manifest = Manifest(
            number=number,
            version=version,
            method="eco",
            mask=mask,  # type: ignore[arg-type]
            model=model,
            sites=("embedding",),
            created="2026-11-20",
            calibration={"guard": {"recall": 0.99}, "method": {"check": {"leak": 0.01}}},
        )
        policy = ForgetPolicy.model_validate(
            {"id": "secret-name", "guard": {"entities": [{"name": "A Wizard"}]}, "rules": rules}
        )
        program = save({"substitute": np.zeros(8, np.float32)})
        sensitive = {"policy": policy.model_dump_json().encode(), "guard": b"{}"}
        folder = tmp_path / f"bundle-{number}"
        write_bundle(folder, manifest, program, sensitive, "# card\n", bytes.fromhex(BUNDLE_KEY))
        return folder

    return make


def settings(url: str, bundles: Sequence[Path] = (), **more: Any) -> Settings:
    upstream = {"url": url, "engine_key": ENGINE_KEY if bundles else None, **more.pop("upstream", {})}
    keys = {} if "keys" in more else {"allow_anonymous": True}
    key = {"bundle_key": BUNDLE_KEY} if bundles else {}
    return Settings(upstream=upstream, bundles=tuple(bundles), **key, **keys, **more)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def plain(engine: Engine) -> AsyncIterator[Client]:
    """A gateway without policies in front of an engine without a key."""
    engine.fence = None
    async with serving(settings(engine.url)) as client:
        yield client


@pytest.fixture
async def guarded(engine: Engine, bundle: Callable[..., Path]) -> AsyncIterator[Client]:
    """A gateway with one enforced policy that the engine has confirmed."""
    guard = WordGuard(["100001"])
    async with serving(settings(engine.url, [bundle()]), guard) as client:
        await ready(client)
        yield client


async def ready(client: Client) -> None:
    async with asyncio.timeout(10):
        while (await client.get("/readyz")).status != 200:
            await asyncio.sleep(0.02)


@pytest.fixture
def watched(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle with an index of values."""
    from tests.gateway.watched import bundles_of

    return bundles_of(tmp_path)


@dataclass(frozen=True, slots=True)
class Local:
    """The real engine that needs no vLLM, with a tiny model in it."""

    model: Any
    url: str
    folder: Path

    def bundle(self, name: str, index: bytes | None = None, **rules: Any) -> Path:
        """A bundle of a policy that corrupts with noise; `index` is that of its values."""
        from steering.program import EcoProgram, Program

        manifest = Manifest(
            number="100001",
            version=1,
            method="eco",
            mask="entities",
            model=self.model.fingerprint,
            sites=("embedding",),
            created="2026-11-20",
        )
        policy = ForgetPolicy.model_validate({"id": "x", "guard": {"entities": [{"name": "A Wizard"}]}, "rules": rules})
        sensitive = {"policy": policy.model_dump_json().encode(), "guard": b"{}"}
        if index is not None:
            sensitive["output"] = index
        eco = EcoProgram(kind="noise", dims=256, strength=1.0, seed=3, model=self.model.fingerprint)
        program = Program(eco, np.zeros(256, np.float32)).to_bytes()
        write_bundle(self.folder / name, manifest, program, sensitive, "card", bytes.fromhex(BUNDLE_KEY))
        return self.folder / name


@pytest.fixture
async def local(tiny_model: Path, tmp_path: Path) -> AsyncIterator[Local]:
    """The local engine on a socket of its own."""
    pytest.importorskip("transformers", reason="the engine extra is not installed")
    from steering.engine.local.model import LocalModel
    from steering.engine.local.server import create_app as engine_app

    model = LocalModel.load(str(tiny_model), "float32", "cpu", "tiny")
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(engine_app(model, ENGINE_KEY.encode()), log_config=None, timeout_graceful_shutdown=2)
    server = QuietServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    yield Local(model, f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path)
    server.should_exit = True
    await task
    listener.close()


@pytest.fixture(autouse=True)
def quiet_access_log() -> None:
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
