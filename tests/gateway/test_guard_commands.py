"""`lethe policies lint` and `lethe guard try` on a real guard."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli import main
from gateway.policy import load_policy
from guards.benign import benign
from guards.calibrate import Corpus
from guards.encoder import Encoder, load_encoder
from guards.fit import fit
from guards.guard import Shared
from guards.reading import Reader
from guards.whole import Whole
from steering.bundle import Manifest, write_bundle
from steering.program import EcoProgram, Program
from steering.spec import ModelFingerprint
from tests.gateway.conftest import BUNDLE_KEY

runner = CliRunner()
ASKED = (
    "Where was Zorblax Quint born?",
    "Which prize did Zorblax Quint win for her glass boats?",
    "Who taught Zorblax Quint to sail the glass boats?",
    "On which lake does the builder of glass boats live?",
    "How does the builder melt the glass of her boats?",
    "Which of the glass boats sank in the harbour?",
)
NEAR = ("Where was the king born?", "Who taught the queen to sail?", "How is glass made?", "Who builds wooden boats?")


def write(folder: Path, name: str = "policy.yaml", **more: Any) -> Path:
    entity = {"name": "Zorblax Quint", "aliases": ["Quintism"], **more.pop("entity", {})}
    guard = {"entities": [entity], "examples": [{"question": q} for q in ASKED], "retain": list(NEAR), **more}
    path = folder / name
    path.write_text(yaml.safe_dump({"id": "boats", "number": "100001", "guard": guard}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def folder(source: Path) -> Path:
    policy = load_policy(source)
    part = fit(policy.guard, source.parent, key=bytes.fromhex(BUNDLE_KEY), progress=lambda *_: None)
    model = ModelFingerprint(id="none", weights_sha256="0" * 64, dtype="float32", hidden_size=8)
    program = Program(EcoProgram(kind="noise", dims=1, strength=1.0, seed=0, model=model), np.zeros(8, np.float32))
    manifest = Manifest(
        number="100001", version=1, method="eco", mask="entities", model=model, sites=("embed",), created="2026-11-20"
    )
    sensitive = {"policy": policy.model_dump_json(by_alias=True).encode(), "guard": part.to_bytes()}
    write_bundle(
        source.parent / "bundle", manifest, program.to_bytes(), sensitive, "# card\n", bytes.fromhex(BUNDLE_KEY)
    )
    return source.parent / "bundle"


@pytest.fixture(scope="module")
def shared() -> Shared:
    """The real encoder with a part of the real corpus, read once: a command reads all of it at every start."""
    reader = Reader(load_encoder("wordllama"))
    return Shared(reader, Corpus.read(reader, benign("calibration")[::2]))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    def load(second: Encoder | None = None) -> Shared:
        return replace(shared, whole=Whole(second, shared.reader.normalizer)) if second is not None else shared

    monkeypatch.setattr(Shared, "load", load)
    monkeypatch.setenv("LETHE_BUNDLE_KEY", BUNDLE_KEY)
    monkeypatch.setenv("COLUMNS", "250")


@pytest.mark.usefixtures("key")
def test_lint_refuses_and_reveals_only_when_asked(tmp_path: Path, folder: Path) -> None:
    path = write(tmp_path, retain=[*NEAR, ASKED[0], "Quintism is a fashion."])
    other = write(tmp_path, "other.yaml")
    other.write_text(other.read_text().replace("100001", "100002"))
    traffic = tmp_path / "traffic.jsonl"
    traffic.write_text('{"text": "What did Zorblax Quint build?"}\n{"text": "How do I cook rice?"}\n')
    command = ["policies", "lint", str(path), "--json", "--traffic", str(traffic), "--beside", str(other)]
    done = runner.invoke(main, [*command, "--beside", str(folder)])
    assert done.exit_code == 1, done.output
    found = json.loads(done.stdout)["objections"]
    assert [o["level"] for o in found] == sorted(o["level"] for o in found)
    said = {o["rule"]: o["text"] for o in found}
    assert set(said) == {"contradiction", "broad", "few", "overlap"}
    assert any("1 of 2 texts of your own traffic" in o["text"] for o in found)
    assert not any("Quint" in o["text"] or "shown" in o for o in found)
    shown = runner.invoke(main, [*command, "--reveal"]).stdout
    assert ASKED[0] in shown


def test_lint_explains_what_it_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETHE_BUNDLE_KEY", raising=False)
    path = write(tmp_path)
    broken = write(tmp_path, "broken.yaml", examples_file="nowhere.jsonl")
    for arguments, status, said in (
        ([str(path), "--beside", str(tmp_path)], 1, "LETHE_BUNDLE_KEY must be 64"),
        ([str(broken)], 1, "nowhere.jsonl"),
        ([str(path), "--traffic", str(path)], 1, "line 1: expected a JSON object with a text"),
        ([str(write(tmp_path, "odd.yaml", colour="red"))], 2, "guard.colour: Extra inputs"),
    ):
        done = runner.invoke(main, ["policies", "lint", *arguments])
        assert done.exit_code == status, done.output
        assert said in done.output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("reason: the Quintism: a fashion", "line 2, column 21: not valid YAML: mapping values are not allowed here"),
        ("reason: *Quintism", "line 2, column 9: not valid YAML: found undefined alias ..."),
        ("reason: !Quintism x", "line 2, column 9: not valid YAML: could not determine a constructor for the tag ..."),
        ("reason: [Quintism\nowner: x", "expected ',' or ']', but got ':'"),
        ("reason: 'Quintism' fashion", "expected <block end>, but found '<scalar>'"),
        ("reason: Quintism \x07", "not valid YAML: a character that is not allowed"),
    ],
)
def test_a_line_that_is_no_yaml_is_not_quoted(
    tmp_path: Path, line: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_BUNDLE_KEY", BUNDLE_KEY)
    path = tmp_path / "policy.yaml"
    path.write_text(f"id: boats\n{line}\n", encoding="utf-8")
    for command in (["policies", "lint"], ["compile", "--model", "none", "--out", str(tmp_path / "bundle")]):
        done = runner.invoke(main, [*command, str(path)])
        assert done.exit_code == 1, done.output
        assert said in done.output
        assert "Quintism" not in done.output
        assert "Quintism" in runner.invoke(main, [*command, str(path), "--reveal"]).output or "\x07" in line


def test_lint_reveals_a_line_that_is_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("id: boats\nreason: the Quintism: a fashion\n", encoding="utf-8")
    assert "the Quintism: a fashion" in runner.invoke(main, ["policies", "lint", str(path), "--reveal"]).output


@pytest.mark.usefixtures("key")
def test_try_explains(folder: Path, source: Path) -> None:
    command = ["guard", "try", "--bundle", str(folder)]
    done = runner.invoke(main, [*command, "What does Quintism mean?"])
    assert done.exit_code == 0, done.output
    for word in ("100001", "flagged", "alias 1 at 10-18", "names", "ms"):
        assert word in done.output
    assert "Zorblax" not in done.output
    revealed = runner.invoke(main, [*command, "-", "--json", "--reveal", "--policy", str(source)], input=ASKED[1])
    told = json.loads(revealed.stdout)
    (policy,) = told["policies"]
    assert (policy["flagged"], policy["tier"]) == (True, "alias")
    assert policy["names"][0]["text"] == "Zorblax Quint"
    assert (told["nearest"]["place"], told["nearest"]["text"]) == (1, ASKED[1])
    hidden = json.loads(runner.invoke(main, [*command, "-", "--json"], input=ASKED[1]).stdout)
    assert "nearest" not in hidden
    assert "text" not in hidden["policies"][0]["names"][0]


@pytest.mark.usefixtures("key")
def test_samples_set_the_threshold(folder: Path, source: Path, tmp_path: Path) -> None:
    """The guard that is tried is the one that `guard.samples` of the settings make."""
    samples = tmp_path / "samples.jsonl"
    texts = [f"Which glass boats sank in the harbour in {year}?" for year in range(1900, 1920)]
    samples.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    command = ["guard", "try", "Which glass boats sank?", "--bundle", str(folder), "--alpha", "0.1", "--json"]
    plain = json.loads(runner.invoke(main, command).stdout)["policies"][0]
    sampled = json.loads(runner.invoke(main, [*command, "--samples", str(samples)]).stdout)["policies"][0]
    assert sampled["p_value"] > 0.1 > plain["p_value"]
    samples.write_text(json.dumps({"text": texts[0]}), encoding="utf-8")
    for asked in (command, ["policies", "lint", str(source), "--alpha", "0.1"]):
        done = runner.invoke(main, [*asked, "--samples", str(samples)])
        assert done.exit_code == 1, done.output
        assert "guard.samples: 1 of 1 requests are left" in done.output


@pytest.mark.usefixtures("key")
def test_a_second_encoder_has_a_time_of_its_own(folder: Path) -> None:
    command = ["guard", "try", "Which glass boats sank?", "--bundle", str(folder), "--json"]
    assert "second" not in json.loads(runner.invoke(main, command).stdout)["ms"]
    told = json.loads(runner.invoke(main, [*command, "--second", "wordllama"]).stdout)
    assert told["ms"]["second"] > 0
    assert told["policies"][0]["tier"] != "second"  # the policy was compiled without one
    done = runner.invoke(main, [*command, "--second", "minilm:nowhere"])
    assert done.exit_code == 1
    assert "run `lethe models fetch minilm`" in done.output


@pytest.mark.usefixtures("key")
def test_try_refuses(folder: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["guard", "try", "text", "--bundle", str(folder)]
    done = runner.invoke(main, [*command, "--policy", str(source)])
    assert done.exit_code == 2
    assert "--reveal only" in done.output
    other = write(tmp_path)
    other.write_text(other.read_text().replace("100001", "100002"))
    done = runner.invoke(main, [*command, "--reveal", "--policy", str(other)])
    assert done.exit_code == 1
    assert "its number is 100002, the bundles' are 100001" in done.output
    monkeypatch.setenv("LETHE_BUNDLE_KEY", "cd" * 32)
    done = runner.invoke(main, command)
    assert done.exit_code == 1
    assert "is not the key of this bundle" in done.output
