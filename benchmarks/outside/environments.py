"""One virtual environment per tool: their dependencies exclude each other, and none of them belongs into the project's.

An environment is made once and kept in `outside/<tool>-<version>` of lethe's cache. A marker file is written last, so
that an installation which was interrupted is not taken for a whole one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from steering.weights import home

READY = ".ready"
TORCH = "torch==2.13.0"


class EnvironmentMissingError(RuntimeError):
    """A tool has no environment; the text holds the command that makes it."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool of somebody else.

    Attributes:
        name: how the command line calls it.
        distribution, version: what pip installs.
        others: further requirements.
        torch: whether it needs torch. That is installed before the rest, which keeps the build that is there.
    """

    name: str
    distribution: str
    version: str
    others: tuple[str, ...] = ()
    torch: bool = False

    @property
    def folder(self) -> Path:
        """Where its environment lies, or will lie."""
        return home() / "outside" / f"{self.name}-{self.version}"

    @property
    def requirements(self) -> tuple[str, ...]:
        """What pip is asked for."""
        return (f"{self.distribution}=={self.version}", *self.others)


TOOLS: Mapping[str, Tool] = {
    # transformers, without torch, reads the tokenizer of the model: completions are sent as token ids
    "lm_eval": Tool("lm_eval", "lm-eval[api]", "0.4.13", others=("transformers>=5,<6", "jinja2")),
    "inspect": Tool("inspect", "inspect-ai", "0.3.285", others=("openai>=3.4,<4",)),
    "garak": Tool("garak", "garak", "0.17.1", torch=True),
}


def python(tool: Tool) -> Path:
    """Interpreter of a tool's environment. Raises `EnvironmentMissingError`."""
    if not (tool.folder / READY).is_file():
        raise EnvironmentMissingError(
            f"there is no environment for {tool.name} {tool.version} in {tool.folder}; make it with "
            f"`python -m benchmarks.outside --setup --tools {tool.name}`"
        )
    return tool.folder / "bin" / "python"


def make(tool: Tool, torch_index: str = "") -> Path:
    """Make the environment where it is missing; return its interpreter.

    uv resolves: with the tools' long lists of requirements pip tries versions for many minutes. torch comes by pip,
    from the indexes of its configuration and from `torch_index`: what uv finds by itself is a build for CUDA.
    What they print is shown. Raises `RuntimeError` with the command that failed.
    """
    if not (tool.folder / READY).is_file():
        console = Console(stderr=True)
        console.print(f"environment for {tool.name} {tool.version} in {tool.folder}", soft_wrap=True)
        tool.folder.parent.mkdir(parents=True, exist_ok=True)
        interpreter = str(tool.folder / "bin" / "python")
        if not Path(interpreter).exists():
            _call(sys.executable, "-m", "venv", str(tool.folder))
        pip = (interpreter, "-m", "pip", "install", "--disable-pip-version-check", "--quiet")
        _call(*pip, "uv")
        if tool.torch:
            _call(*pip, *(("--extra-index-url", torch_index) if torch_index else ()), TORCH)
        _call(interpreter, "-m", "uv", "pip", "install", "--python", interpreter, *tool.requirements)
        (tool.folder / READY).touch()
    return python(tool)


def _call(*command: str) -> None:
    # what an installer says is progress, not a result
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if code:
        raise RuntimeError(f"`{' '.join(command)}` ended with status {code}; its last lines say why")
