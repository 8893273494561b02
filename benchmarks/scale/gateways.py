"""`lethe serve` as a child process: its start, memory and latency are its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from benchmarks.leakage.audit import records
from benchmarks.leakage.client import Server
from benchmarks.scale.bundles import KEY
from gateway.demo.services import Service, free_port, running

PATIENCE_S = 900.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is ready. `ready_s`: from its start until every policy was confirmed by the engine."""

    server: Server
    port: int
    process: psutil.Process
    ready_s: float
    audit: Path

    def memory_mb(self) -> float:
        """Resident memory."""
        return float(self.process.memory_info().rss) / 2**20

    def acted(self) -> dict[str, frozenset[str]]:
        """Request id -> numbers of the policies that acted on it, from the audit log."""
        return {
            record["request"]: frozenset(policy["policy"] for policy in record["policies"])
            for record in records(self.audit)
        }


@contextmanager
def gateway(upstream: str, engine_key: str, bundles: Sequence[Path], folder: Path, name: str) -> Iterator[Gateway]:
    """A gateway in front of `upstream` that lets everybody in; its files go to `folder`.

    Raises `gateway.demo.services.ServiceError` when it does not become ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, audit = free_port(), folder / f"{name}.jsonl"
    audit.unlink(missing_ok=True)
    settings = {
        "listen": {"port": port},
        "upstream": {"url": upstream},
        "allow_anonymous": True,
        "bundles": [str(bundle.resolve()) for bundle in bundles],
        "audit": {"path": str(audit)},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    environment = {**os.environ, "LETHE_ENGINE_KEY": engine_key, "LETHE_BUNDLE_KEY": KEY.hex()}
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(folder / f"{name}.yaml")]
    base, start = f"http://127.0.0.1:{port}", time.perf_counter()
    service = Service("gateway", command, environment, folder / f"{name}.log", f"{base}/readyz")
    with running(service):
        service.wait(PATIENCE_S)
        ready = time.perf_counter() - start
        yield Gateway(Server(base, "world", "anonymous"), port, psutil.Process(service.process.pid), ready, audit)
