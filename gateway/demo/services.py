"""Engine and gateway as child processes with their logs in files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TAIL = 25


class ServiceError(RuntimeError):
    """A service that did not come up; the text holds the end of its log."""


class Service:
    """One child process that serves HTTP."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], log: Path, health: str) -> None:
        self.name, self.log, self.health = name, log, health
        with log.open("wb") as out:
            self.process = subprocess.Popen(  # noqa: S603 - our own commands
                command, env=dict(environment), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait(self, patience: float) -> None:
        """Return when the health route answers 200. Raises `ServiceError` when the process ends or takes too long."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise ServiceError(f"the {self.name} ended with status {self.process.returncode}:\n{self._tail()}")
            if _answers(self.health):
                return
            time.sleep(0.2)
        raise ServiceError(f"the {self.name} was not ready after {patience:.0f} s:\n{self._tail()}")

    def stop(self) -> None:
        """End the process and what it started."""
        for sign, patience in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 15.0)):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(patience)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:])


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Stop the service at the end, whatever happens."""
    try:
        yield service
    finally:
        service.stop()


def engine(model: str, backend: str, port: int, environment: Mapping[str, str], log: Path) -> Service:
    """`lethe engine` on loopback."""
    command = [sys.executable, "-m", "gateway.cli", "engine", "--model", model, "--backend", backend]
    command += ["--port", str(port)]
    if backend == "vllm":
        command += ["--max-model-len", "2048"]
    return Service("engine", command, environment, log, f"http://127.0.0.1:{port}/health")


def gateway(config: Path, port: int, environment: Mapping[str, str], log: Path) -> Service:
    """`lethe serve` with a settings file."""
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)]
    return Service("gateway", command, environment, log, f"http://127.0.0.1:{port}/readyz")


def is_free(port: int) -> bool:
    """Whether somebody could listen on this port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - loopback
            return bool(response.status == 200)
    except urllib.error.HTTPError as answer:
        answer.close()
        return False
    except OSError:  # URLError is one
        return False
