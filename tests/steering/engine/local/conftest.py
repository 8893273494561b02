"""One tiny model for all tests of the local engine, and servers of it with and without a fence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import uvicorn

from steering.engine.local.model import LocalModel
from steering.engine.local.server import create_app
from steering.fence import AUTH_HEADER, sign
from steering.program import EcoProgram, Program

KEY = b"0123456789abcdef0123456789abcdef"
TEXTS = ["import os", "def parse(self, text):\n    return text.split()", "x", "the quick brown fox jumps over it all"]
PROGRAM = "p123456@1"


@pytest.fixture(scope="session")
def model(tiny_model: Path) -> LocalModel:
    return LocalModel.load(tiny_model)


@pytest.fixture(scope="session")
def batch(model: LocalModel) -> list[list[int]]:
    return [model.tokenizer(text)["input_ids"] for text in TEXTS]


def program(model: LocalModel, kind: str = "noise", strength: float = 0.7, dims: int = 200, **change: Any) -> Program:
    substitute = np.zeros(256, np.float32) if kind != "replace" else np.linspace(-1, 1, 256, dtype=np.float32)
    identity = model.fingerprint.model_copy(update=change)
    return Program(EcoProgram(kind=kind, dims=dims, strength=strength, seed=4095, model=identity), substitute)


@pytest.fixture(scope="module")
def servers(model: LocalModel) -> Iterator[SimpleNamespace]:
    """One server without and one with a fence."""
    running, addresses = [], []
    for key in (None, KEY):
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(model, key), log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        running.append((server, thread))
        addresses.append(f"http://127.0.0.1:{listener.getsockname()[1]}")
    while not all(server.started for server, _ in running):
        threading.Event().wait(0.01)
    yield SimpleNamespace(open=addresses[0], fenced=addresses[1])
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(servers: SimpleNamespace) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=servers.open + "/v1", api_key="-", max_retries=0) as made:
        yield made


@pytest.fixture
def http(servers: SimpleNamespace) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=servers.open) as made:
        yield made


class Gateway(httpx.Auth):
    """Signs requests; `nonce` is that of the last one."""

    requires_request_body = True

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        value, self.nonce = sign(KEY, request.method, request.url.raw_path.decode(), request.read())
        request.headers[AUTH_HEADER] = value
        yield request


@pytest.fixture
def gateway(servers: SimpleNamespace, model: LocalModel) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=servers.fenced, auth=Gateway()) as made:
        made.put(f"/lethe/v1/programs/{PROGRAM}", content=program(model).to_bytes()).raise_for_status()
        yield made


def ask(text: str = "hello world") -> list[Any]:
    return [{"role": "user", "content": text}]
