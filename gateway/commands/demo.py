"""`lethe demo`: fetch, compile, start engine and gateway, ask both, print the answers side by side, stay up."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateway.demo.asking import Answer

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "harry-potter"
FORGET_TOKENS, RETAIN_TOKENS = 48, 24
SHOWN, SAMPLE = 5, 10
"""Answers shown of each kind; forget questions asked for them, of which the bare model knows less than half."""


def demo(
    model: Annotated[str, typer.Option(help="Model to serve.")] = "smollm2-135m-instruct",
    backend: Annotated[str, typer.Option(help="vllm, local, or auto: vllm where it is installed.")] = "auto",
    policy: Annotated[Path, typer.Option(help="Folder with policy.yaml and the questions.")] = EXAMPLE,
    questions: Annotated[str, typer.Option(help="Folder of the questions, in the policy's.")] = "heldout",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the gateway.")] = 8080,
    serve: Annotated[bool, typer.Option(help="Stay up until Ctrl-C.")] = True,
    report: Annotated[
        Path | None, typer.Option("--json", help="Ask all the questions of the folder and write the result here.")
    ] = None,
) -> None:
    """Show a real model that no longer knows what the example policy says it must not know."""
    from rich.console import Console

    from gateway.demo import services

    console = Console()
    for file in (policy / "policy.yaml", policy / questions / "forget.jsonl", policy / questions / "retain.jsonl"):
        if not file.is_file():
            hint = "run the demonstration from a checkout or give --policy" if policy == EXAMPLE else "see --policy"
            console.print(f"[red]{file} is missing; {hint}[/red]", soft_wrap=True)
            raise typer.Exit(2)
    if backend not in ("auto", "vllm", "local"):
        raise typer.BadParameter(f"{backend} is not a backend; use vllm, local or auto", param_hint="--backend")
    if not services.is_free(port):
        raise typer.BadParameter(f"port {port} is taken; choose another one", param_hint="--port")
    if backend == "auto":
        backend = "vllm" if importlib.util.find_spec("vllm") else "local"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends engine and gateway as Ctrl-C does
    try:
        with ExitStack() as stack:
            _run(model, backend, policy, policy / questions, port, report, stack, console, stay=serve)
    except services.ServiceError as error:
        console.print(f"[red]{error}[/red]", soft_wrap=True, markup=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("stopped")


def _run(
    model: str,
    backend: str,
    policy: Path,
    questions: Path,
    port: int,
    report: Path | None,
    stack: ExitStack,
    console: Any,
    *,
    stay: bool,
) -> None:
    from gateway.demo import asking, services
    from steering.weights import KNOWN, fetch, home

    folder = home() / "demo"
    logs = folder / f"port-{port}"  # another demonstration on another port has its own
    logs.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **_keys(folder)}
    if model in KNOWN:
        with console.status(f"fetching {model} (once)"):
            fetch(model, lambda *_: None)
    bundle = _bundle(folder, policy, model, environment, console)
    engine_port = services.free_port()
    config, audit, api_key = _settings(logs, port, engine_port, bundle)
    began = time.monotonic()
    with console.status(f"starting the {backend} engine and the gateway; logs are in {logs}"):
        engine = stack.enter_context(
            services.running(services.engine(model, backend, engine_port, environment, logs / "engine.log"))
        )
        gateway = stack.enter_context(
            services.running(services.gateway(config, port, environment, logs / "gateway.log"))
        )
        engine.wait(600)
        gateway.wait(120)
    console.print(f"engine and gateway are ready after {time.monotonic() - began:.0f} s")
    name = Path(model).name
    bare = asking.bare_client(engine_port, environment["LETHE_ENGINE_KEY"].encode())
    guarded = asking.gateway_client(port, api_key)

    def ask(client: Any, rows: list[dict[str, Any]], tokens: int, done: Callable[[], None]) -> list[Answer]:
        from gateway.demo.scoring import messages

        return asking.ask_all(client, name, [messages(row) for row in rows], tokens, done)

    result = _measure(ask, bare, guarded, policy, questions, audit, console, everything=report is not None)
    result = {"engine": backend, "model": name, **result}
    _show(result, console)
    if report is not None:
        report.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        console.print(f"wrote {report}")
    if stay:
        curl = _curl(port, api_key, name)
        told = f"\nThe gateway stays up; Ctrl-C ends it, and with it this API key. Try:\n\n{curl}\n"
        console.print(told, highlight=False, soft_wrap=True)
        engine.process.wait()
        raise services.ServiceError(f"the engine ended; its log is {logs / 'engine.log'}")


def _keys(folder: Path) -> dict[str, str]:
    """Keys of the demonstration, made once, so that its bundle can be read again."""
    file = folder / "keys.json"
    if not file.is_file():
        file.touch(mode=0o600)
        file.write_text(json.dumps({k: secrets.token_hex(32) for k in ("LETHE_BUNDLE_KEY", "LETHE_ENGINE_KEY")}))
    keys: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return keys


def _bundle(folder: Path, policy: Path, model: str, environment: Mapping[str, str], console: Any) -> Path:
    """Compile unless the same policy was compiled for the same model by the same code."""
    digest = hashlib.sha256(model.encode())
    code = Path(__file__).parents[2]
    sources = [policy / "policy.yaml", *sorted((policy / "fit").glob("*"))]
    sources += [f for part in ("guards", "steering/methods") for f in sorted((code / part).glob("*.py"))]
    sources += [code / "steering" / name for name in ("ops.py", "program.py", "engine/local/model.py")]
    for file in sources:
        digest.update(file.read_bytes())
    bundle = folder / f"bundle-{digest.hexdigest()[:16]}"
    if not (bundle / "manifest.json").is_file():
        console.print("compiling the policy; this is done once and takes five to ten minutes on a CPU")
        command = [sys.executable, "-m", "gateway.cli", "compile", str(policy / "policy.yaml"), "--model", model]
        outcome = subprocess.run([*command, "--out", str(bundle)], env=environment, check=False)  # noqa: S603 - our own
        if outcome.returncode:
            raise typer.Exit(outcome.returncode)
    return bundle


def _settings(folder: Path, port: int, engine_port: int, bundle: Path) -> tuple[Path, Path, str]:
    """Write the gateway's settings. Returns (settings file, audit log, API key)."""
    import yaml

    api_key = f"sk-{secrets.token_urlsafe(24)}"
    audit = folder / "audit.jsonl"
    audit.unlink(missing_ok=True)
    settings = {
        "listen": {"port": port},
        "upstream": {"url": f"http://127.0.0.1:{engine_port}"},
        "keys": [{"tenant": "demo", "sha256": hashlib.sha256(api_key.encode()).hexdigest()}],
        "bundles": [str(bundle)],
        "audit": {"path": str(audit)},
    }
    config = folder / "lethe.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return config, audit, api_key


def _measure(
    ask: Callable[..., list[Answer]],
    bare: Any,
    guarded: Any,
    policy: Path,
    questions: Path,
    audit: Path,
    console: Any,
    *,
    everything: bool,
) -> dict[str, Any]:
    import yaml
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from gateway.demo import scoring

    forget = scoring.read_rows(questions / "forget.jsonl")
    retain = scoring.read_rows(questions / "retain.jsonl")
    control = scoring.read_rows(questions / "invented.jsonl") if everything else []
    if not everything:
        forget, retain = forget[:: len(forget) // SAMPLE][:SAMPLE], retain[:: len(retain) // SHOWN][:SHOWN]
    values = yaml.safe_load((policy / "policy.yaml").read_text(encoding="utf-8"))["guard"].get("values", [])
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # A few questions fit into one batch of the engine; all of them are asked one kind after the other.
    with Progress(*columns, console=console) as bars, ThreadPoolExecutor(1 if everything else 4) as kinds:

        def asked(title: str, client: Any, rows: list[dict[str, Any]], tokens: int) -> Future[list[Answer]]:
            task = bars.add_task(title, total=len(rows))
            return kinds.submit(ask, client, rows, tokens, lambda: bars.advance(task))

        forget_base = asked("forget, bare engine", bare, forget, FORGET_TOKENS)
        forget_after = asked("forget, through Lethe", guarded, forget, FORGET_TOKENS)
        retain_base = asked("retain, bare engine", bare, retain, RETAIN_TOKENS)
        retain_after = asked("retain, through Lethe", guarded, retain, RETAIN_TOKENS)
        invented = asked("invented names, bare engine", bare, control, FORGET_TOKENS) if everything else None
    decided = scoring.decisions(audit)
    return {
        "forget": scoring.forget_report(forget, forget_base.result(), forget_after.result(), decided, values),
        "retain": scoring.retain_report(retain, retain_base.result(), retain_after.result(), decided),
        **({"control": scoring.control_report(control, invented.result(), values)} if invented else {}),
    }


def _show(result: Mapping[str, Any], console: Any) -> None:
    from rich.table import Table

    forget, retain = result["forget"], result["retain"]
    known = "must be forgotten, those that the bare engine can answer"
    for title, part in ((known, forget), ("must stay as it is", retain)):
        table = Table(title=f"\nQuestions whose answer {title}", show_lines=True)
        for heading in ("question", "bare engine", "through Lethe"):
            table.add_column(heading, ratio=1)
        items = [i for i in part["items"] if i.get("scored", True)] or part["items"]
        for item in items[:: max(1, len(items) // SHOWN)][:SHOWN]:
            table.add_row(item["question"], item["base"], item["protected"])
        console.print(table)
    console.print(
        f"forget: {forget['n_asked']} asked, {forget['n_scored']} known to the bare model; "
        f"{forget['caught']} of these caught by the guard; {forget['leaks_protected']} leak through Lethe, "
        f"{forget['leaks_caught']} of them although caught"
    )
    console.print(
        f"retain: {retain['n']} asked, {retain['unflagged']} left alone, {retain['identical']} of these answered "
        f"with the same text as by the bare engine ({retain['equal']} up to near ties)"
    )


def _curl(port: int, key: str, model: str) -> str:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Who wrote the Harry Potter books?"}],
                       "max_tokens": 60, "temperature": 0})  # fmt: skip
    return (
        f"curl http://127.0.0.1:{port}/v1/chat/completions -H 'content-type: application/json' "
        f"-H 'authorization: Bearer {key}' -d '{body}'"
    )
