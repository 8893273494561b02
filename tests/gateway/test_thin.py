"""The gateway in an environment of its own, in which neither torch nor vLLM is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from gateway.demo.services import Service, free_port, running

THIN = os.environ.get("LETHE_THIN_PYTHON", "")
HEAVY = ("torch", "vllm", "transformers")

pytestmark = pytest.mark.skipif(not THIN, reason="LETHE_THIN_PYTHON is not set; `make test` makes that environment")


def test_it_installs_starts_and_proxies(tmp_path: Path) -> None:
    for package in HEAVY:
        found = subprocess.run([THIN, "-c", f"import {package}"], capture_output=True, check=False)
        assert found.returncode != 0, f"{package} is installed there: the test would show nothing"
    (tmp_path / "model.json").write_text("{}")
    upstream, port = free_port(), free_port()
    settings = {"listen": {"port": port}, "upstream": {"url": f"http://127.0.0.1:{upstream}"}, "allow_anonymous": True}
    (tmp_path / "lethe.yaml").write_text(yaml.safe_dump(settings))
    stub = [sys.executable, "-m", "benchmarks.stub", str(upstream), str(tmp_path / "model.json")]
    serve = [THIN, "-m", "gateway.cli", "serve", "--config", str(tmp_path / "lethe.yaml")]
    health = f"http://127.0.0.1:{port}/readyz"
    with (
        running(
            Service("stub", stub, os.environ, tmp_path / "stub.log", f"http://127.0.0.1:{upstream}/v1/models")
        ) as a,
        running(Service("gateway", serve, os.environ, tmp_path / "gateway.log", health)) as b,
    ):
        a.wait(30)
        b.wait(30)
        body = {"model": "stub", "messages": [{"role": "user", "content": "hello"}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            assert json.load(response)["choices"][0]["message"]["content"].startswith("token")
