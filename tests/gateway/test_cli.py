from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import main
from gateway.commands.policies import engine_options
from steering.bundle import Manifest, parse_key
from steering.fence import MIN_KEY_BYTES
from tests.gateway.conftest import BUNDLE_KEY
from tests.gateway.upstream import FINGERPRINT

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch", "vllm", "sklearn", "transformers"]
runner = CliRunner()


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys, json
from gateway.cli import main
try:
    main(["--help"])
except SystemExit as exit:
    assert exit.code == 0
print(json.dumps(sorted(sys.modules)))
"""
    loaded = set(json.loads(_python(code).splitlines()[-1]))
    assert "gateway.cli" in loaded
    assert loaded.isdisjoint([*HEAVY, "fastapi", "aiohttp", "numpy"])


def test_gateway_works_without_the_engine_s_libraries() -> None:
    code = f"""
import sys, asyncio
for name in {HEAVY}:
    sys.modules[name] = None  # an import raises ImportError
import aiohttp
from tests.gateway.conftest import serving, settings
from tests.gateway.upstream import CHAT, Engine

async def main():
    engine = Engine(None)
    await engine.start()
    async with serving(settings(engine.url)) as client:
        assert (await client.chat()).body == CHAT
    await engine.stop()

asyncio.run(main())
assert not [name for name in sys.modules if name.split(".")[0] in {HEAVY} and sys.modules[name]]
print("served")
"""
    assert _python(code).strip() == "served"


def test_keygen_prints_keys_that_fit() -> None:
    lines = dict(line.split("=") for line in runner.invoke(main, ["keygen"]).output.splitlines())
    parse_key(lines["LETHE_BUNDLE_KEY"])
    assert len(lines["LETHE_ENGINE_KEY"]) >= MIN_KEY_BYTES
    output = runner.invoke(main, ["keygen", "--tenant", "me"]).output
    assert "tenant: me" in output
    assert "sha256: " in output


def test_check_and_policies(tmp_path: Path, bundle: object, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "lethe.yaml"
    config.write_text("allow_anonymous: true\nupstream: {tmeouts: {}}\n")
    done = runner.invoke(main, ["check", "--config", str(config)])
    assert done.exit_code == 2
    assert "upstream.tmeouts: unknown key, did you mean upstream.timeouts?" in done.output
    assert runner.invoke(main, ["serve", "--config", str(config)]).exit_code == 2

    folder = bundle(response="refusal")  # type: ignore[operator]
    config.write_text(f"allow_anonymous: true\nbundles: [{folder}]\n")
    monkeypatch.setenv("LETHE_BUNDLE_KEY", BUNDLE_KEY)
    assert runner.invoke(main, ["check", "--config", str(config)]).exit_code == 0
    monkeypatch.setenv("COLUMNS", "200")
    done = runner.invoke(main, ["policies", "--config", str(config)])
    assert done.exit_code == 0
    for word in ("100001", "test-model", "refusal", "never", "recall 99.0%", "leak 1.0%"):
        assert word in done.output
    assert "secret-name" not in done.output


def test_policies_say_what_the_engine_must_be_started_with() -> None:
    def manifest(number: str, *sites: str, **chosen: Any) -> Manifest:
        calibration = {"method": {"chosen": chosen}}
        return Manifest(
            number=number, version=1, method="m", mask="content", model=FINGERPRINT, sites=sites, created="2026-11-22",
            calibration=calibration,
        )  # fmt: skip

    corrupted, edited = manifest("100001", "embed"), manifest("100002", "layer.8", "layer.2", layers=[2, 8])
    twins = manifest("100003", "logits", assistants=2, assistant_layers=6)
    single = manifest("100004", "logits", assistants=1, assistant_layers=4)
    assert engine_options([corrupted]) == ""
    assert engine_options([corrupted, edited]) == "--edit-layers 2,8"
    assert engine_options([twins, edited, single]) == "--edit-layers 2,8 --assistants 4,6,6"


def test_audit_verify(tmp_path: Path) -> None:
    from gateway.audit import AuditLog

    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.append({"n": 1})
    log.append({"n": 2})
    log.close()
    assert "2 records" in runner.invoke(main, ["audit", "verify", str(path)]).output
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":3'))
    done = runner.invoke(main, ["audit", "verify", str(path)])
    assert done.exit_code == 1
    assert "line 1" in done.output.replace("\n", "")


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    monkeypatch.setenv("LETHE_HOME", str(tmp_path))

    def absent(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'gguf'", name="gguf")

    monkeypatch.setattr("steering.weights.fetch", absent)
    result = runner.invoke(main, ["models", "fetch", "smollm2-135m-instruct"])
    assert result.exit_code == 1
    assert "gguf is not installed: pip install 'lethe-llm[engine]'" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "foo"], "foo is not a backend"),
        (["--port", "99999999"], "65535"),
        (["--policy", "nowhere"], "see --policy"),
        (["--questions", "nothing"], "is missing"),
    ],
)
def test_demo_checks_its_options_before_it_compiles(arguments: list[str], said: str) -> None:
    result = runner.invoke(main, ["demo", *arguments])
    assert result.exit_code == 2
    assert said in result.output


def test_demo_refuses_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = runner.invoke(main, ["demo", "--port", str(port)])
    assert result.exit_code == 2
    assert f"port {port} is taken" in result.output
