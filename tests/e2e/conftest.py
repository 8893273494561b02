"""The whole product with real parts: SmolLM2 on a real vLLM with the plug-in, a compiled bundle, the gateway."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.demo.asking import bare_client, gateway_client
from gateway.demo.services import Service, engine, free_port, gateway, running
from steering.fence import AUTH_HEADER, sign
from steering.weights import fetch

pytest.importorskip("vllm", reason="vLLM is not installed; `make test` installs its CPU build")

MODEL = "smollm2-135m-instruct"
EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "harry-potter"


@dataclass
class Stack:
    """Running services; tests that end the engine put a new one in its place."""

    engine: Service
    gateway: Service
    engine_port: int
    port: int
    api_key: str
    environment: dict[str, str]
    folder: Path

    @cached_property
    def bare(self) -> Any:
        return bare_client(self.engine_port, self.environment["LETHE_ENGINE_KEY"].encode())

    @cached_property
    def protected(self) -> Any:
        return gateway_client(self.port, self.api_key)

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]

    def engine_metric(self, name: str) -> float:
        key = self.environment["LETHE_ENGINE_KEY"].encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.engine_port, timeout=30)
        try:
            connection.request("GET", "/metrics", headers={AUTH_HEADER: sign(key, "GET", "/metrics", b"")[0]})
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))

    def post(self, body: dict[str, Any], path: str = "/v1/chat/completions") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.api_key}"}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The example policy, compiled with the strength that the search found, so that the tests need not search."""
    folder = tmp_path_factory.mktemp("bundle")
    fetch(MODEL)
    policy = yaml.safe_load((EXAMPLE / "policy.yaml").read_text())
    policy["method"] = {"name": "eco", "kind": "noise", "mask": "entities", "strength": 32.0}
    for name in ("examples_file", "retain_file"):
        policy["guard"][name] = str(EXAMPLE / policy["guard"][name])
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy, allow_unicode=True))
    keys = {"LETHE_BUNDLE_KEY": secrets.token_hex(32), "LETHE_ENGINE_KEY": secrets.token_hex(32)}
    command = [sys.executable, "-m", "gateway.cli", "compile", str(folder / "policy.yaml"), "--model", MODEL]
    command += ["--out", str(folder / "bundle")]
    done = subprocess.run(command, env={**os.environ, **keys}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bundle", keys


@pytest.fixture(scope="module")
def stack(bundle: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    engine_port, port, api_key = free_port(), free_port(), "sk-" + secrets.token_urlsafe(16)
    environment = {**os.environ, **bundle[1]}
    settings = {
        "listen": {"port": port},
        "upstream": {"url": f"http://127.0.0.1:{engine_port}"},
        "keys": [{"tenant": "tests", "sha256": hashlib.sha256(api_key.encode()).hexdigest()}],
        "bundles": [str(bundle[0])],
        "audit": {"path": str(folder / "audit.jsonl")},
    }
    (folder / "lethe.yaml").write_text(yaml.safe_dump(settings))
    with (
        running(engine(MODEL, "vllm", engine_port, environment, folder / "engine.log")) as upstream,
        running(gateway(folder / "lethe.yaml", port, environment, folder / "gateway.log")) as front,
    ):
        upstream.wait(300)
        front.wait(120)
        stack = Stack(upstream, front, engine_port, port, api_key, environment, folder)
        yield stack
        for client in (stack.bare, stack.protected):
            client.close()
        if stack.engine is not upstream:
            stack.engine.stop()
