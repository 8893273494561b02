"""`lethe engine`: start the engine behind the gateway, with the plug-in and its fence."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

FRONT = "steering.engine.vllm.front.Front"
CUDA_ONLY = ("torchvision", "torchaudio", "torchcodec")
PATIENT_THREADS = {"OMP_WAIT_POLICY": "passive"}
"""OpenMP's threads spin at barriers by default, and one preempted thread then stalls every operation for a scheduler's
time slice. Measured with 2 threads on 2 cores: 154 tokens/s alone and 6 beside other work; passive 119 and 52."""


def engine(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Short name, local folder or hub id.")],
    backend: Annotated[str, typer.Option(help="vllm or local; vllm where it is installed.")] = "auto",
    host: Annotated[str, typer.Option(help="Keep it on loopback or a private network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 8001,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    served_model_name: Annotated[str | None, typer.Option(help="Name that clients use; default: the model's.")] = None,
    edit_layers: Annotated[
        str,
        typer.Option(help="vLLM: layers after which activation edits may act, e.g. 8,12; a bundle's card names them."),
    ] = "",
    assistants: Annotated[
        str,
        typer.Option(
            help="vLLM: layers of each assistant of logit differences that is kept ready, e.g. 6,6 for twins of 6; "
            "`lethe policies` says what the bundles need."
        ),
    ] = "",
) -> None:
    """Start an inference engine that can run interventions; further arguments go to vLLM unchanged.

    The key that gateway and engine share is read from LETHE_ENGINE_KEY.
    """
    from steering.weights import WeightsError, resolve

    if not os.environ.get("LETHE_ENGINE_KEY"):
        raise typer.BadParameter("LETHE_ENGINE_KEY is not set: `lethe keygen` prints one for gateway and engine")
    try:
        where = resolve(model)
    except WeightsError as error:
        raise typer.BadParameter(str(error), param_hint="--model") from None
    if backend == "auto":
        backend = "vllm" if importlib.util.find_spec("vllm") else "local"
    name = served_model_name or Path(model).name
    if backend == "vllm":
        sites = parse_layers(edit_layers), parse_assistants(assistants)
        environment = _ready(str(where))
        command = vllm_command(str(where), name, host, port, dtype, context.args, *sites)
        os.execve(command[0], command, environment)  # noqa: S606 - our own interpreter, no shell
    elif backend == "local":
        os.environ.update({k: v for k, v in PATIENT_THREADS.items() if k not in os.environ})  # before torch is loaded
        from steering.engine.local.server import serve

        key = os.environ["LETHE_ENGINE_KEY"].encode()
        serve(str(where), served_model_name=name, host=host, port=port, key=key, dtype=dtype)
    else:
        raise typer.BadParameter(f"{backend} is not a backend; use vllm or local", param_hint="--backend")


def parse_layers(text: str) -> tuple[int, ...]:
    """Read `--edit-layers`. Raises `typer.BadParameter`."""
    return tuple(sorted(set(_numbers(text, "--edit-layers"))))


def parse_assistants(text: str) -> tuple[int, ...]:
    """Read `--assistants`. Raises `typer.BadParameter`."""
    return tuple(_numbers(text, "--assistants"))


def _numbers(text: str, option: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise typer.BadParameter(f"{text} is no list of layers such as 8,12", param_hint=option)
    return list(map(int, parts))


def vllm_command(
    model: str,
    name: str,
    host: str,
    port: int,
    dtype: str,
    extra: list[str],
    edit_layers: tuple[int, ...] = (),
    assistants: tuple[int, ...] = (),
) -> list[str]:
    """The command line that starts vLLM with the front.

    The additional configuration enters vLLM's compile hash: an artefact that was compiled without the corruption site
    can then not be loaded. Bundle contents are not part of it, so that policies go live without recompiling.
    """
    from steering.activation import MAX_COLUMNS
    from steering.engine.vllm.table import MAX_PROGRAMS

    salt: dict[str, Any] = {"version": version("lethe-llm"), "sites": ["embed"], "programs": MAX_PROGRAMS}
    if edit_layers:
        salt["edit"] = {"layers": list(edit_layers), "columns": MAX_COLUMNS}
    if assistants:
        salt["assistants"] = list(assistants)
    compile_salt = {"lethe": salt}
    if dtype == "auto" and (config := Path(model) / "config.json").is_file():
        # vLLM's own "auto" turns float32 into bfloat16; a program is fitted for the dtype of the weights
        found = json.loads(config.read_text(encoding="utf-8"))
        dtype = found.get("dtype") or found.get("torch_dtype") or dtype
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--served-model-name", name, "--host", host, "--port", str(port), "--dtype", dtype]
    command += ["--middleware", FRONT, "--additional-config", json.dumps(compile_salt)]
    if _cpu_build():
        command += ["--enforce-eager", "--block-size", "32"]
    return command + extra


def vllm_environment(environment: dict[str, str], model: str) -> dict[str, str]:
    """Environment for vLLM. Raises ValueError for one under which the plug-in would not be loaded."""
    plugins = environment.get("VLLM_PLUGINS")
    if plugins is not None and "lethe" not in plugins.split(","):
        raise ValueError(f"VLLM_PLUGINS={plugins} leaves out the plug-in: add `lethe` to it, or unset it")
    out = {**environment, "VLLM_NO_USAGE_STATS": "1"}
    # vLLM closes idle connections after 5 s: a loop that stalled runs that timer before it reads the request that has
    # arrived meanwhile. The gateway gives up idle connections after 3 s.
    out.setdefault("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "60")
    if Path(model).is_dir():
        out.setdefault("HF_HUB_OFFLINE", "1")
    if _cpu_build():
        out.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        # One core is left to the API process and the gateway, see PATIENT_THREADS: measured on 2 busy cores 148
        # tokens/s with 1 thread, 10 with 2.
        out.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
        # vLLM pins every server to the same first cores, so that two of them starve each other
        out.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    return out


def _ready(model: str) -> dict[str, str]:
    """The environment for vLLM. Raises `typer.BadParameter` where it cannot start."""
    if importlib.util.find_spec("vllm") is None:
        raise typer.BadParameter("vLLM is not installed: `pip install lethe-llm[vllm]`, or use --backend local")
    broken = [p for p in CUDA_ONLY if _cpu_build() and importlib.util.find_spec(p)]
    if broken:
        names = " ".join(broken)
        raise typer.BadParameter(f"{names} beside a CPU build of torch break vLLM: `pip uninstall -y {names}`")
    try:
        return vllm_environment(dict(os.environ), model)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _cpu_build() -> bool:
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return False
    return True
