"""On what a figure was measured."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any


def where() -> dict[str, Any]:
    """Hardware, Python, commit (with "+" when the working tree differs from it), time and load of the machine.

    `gpu` is None without NVIDIA's driver.
    """
    root = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    changed = git("status", "--porcelain", "--untracked-files=no")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "commit": git("rev-parse", "--short", "HEAD") + ("+" if changed else ""),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
    }


def engine_of(backend: str) -> str:
    """Name and version of the engine: `vllm 0.25.1`, or for the local one that of transformers.

    vLLM's module comes from a distribution of another name where it was built for CPUs.
    """
    installed = packages_distributions()["vllm"][0] if backend == "vllm" else "transformers"
    return f"{backend} {version(installed)}"


def _gpu() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
