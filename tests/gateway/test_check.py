from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway.check import check
from gateway.settings import Settings
from tests.gateway.conftest import BUNDLE_KEY

BundleMaker = Callable[..., Path]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("LETHE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(text: str, tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return path


def told(text: str, tmp_path: Path) -> list[str]:
    return [str(mistake) for mistake in check(write(text, tmp_path))[1]]


def test_right_settings(tmp_path: Path) -> None:
    assert told("allow_anonymous: true\nupstream: {url: http://engine:8000}\n", tmp_path) == []


def test_all_mistakes_at_once_with_their_place(tmp_path: Path) -> None:
    text = """
allow_anonymous: true
upstream:
  tmeouts: {connect: 1}
  timeouts: {conect: 1, first_byte: -1}
  engine_key: short
keys:
  - {tenant: a, sha265: x}
limits: {max_body_bytes: many}
gaurd: {alpha: 0.1}
guard: {alpha: 2}
allow_fields: [vllm_xargs]
"""
    lines = told(text, tmp_path)
    expected = {
        "upstream.tmeouts": "unknown key, did you mean upstream.timeouts?",
        "upstream.timeouts.conect": "unknown key, did you mean upstream.timeouts.connect?",
        "upstream.timeouts.first_byte": "Input should be greater than 0",
        "upstream.engine_key": "must have at least 16 bytes; `lethe keygen` prints a fresh one",
        "keys.0.sha265": "unknown key, did you mean keys.0.sha256?",
        "keys.0.sha256": "Field required",
        "limits.max_body_bytes": "Input should be a valid integer, unable to parse string as an integer",
        "gaurd": "unknown key, did you mean guard?",
        "guard.alpha": "Input should be less than 1",
    }
    assert {line.split(": ")[0]: line.split(": ", 1)[1] for line in lines if "allow_fields" not in line} == expected
    assert any(line.startswith("allow_fields") for line in lines)


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("listen: {port: 1", "settings.yaml", "not valid YAML"),
        ("- a", "settings.yaml", "must hold a mapping"),
        ("{}", "keys", "no client key is configured"),
        (f"allow_anonymous: true\nkeys: [{{tenant: a, sha256: {'a' * 64}}}]", "allow_anonymous", "must be false"),
        ("allow_anonymous: true\nupstream: {url: 'http://h:1/v1'}", "upstream.url", "scheme, host and port only"),
        ("allow_anonymous: true\nbundle_key: abc", "bundle_key", "64 hexadecimal digits"),
        ("allow_anonymous: true\nbundles: [x]", "bundle_key", "LETHE_BUNDLE_KEY is needed"),
        (
            "allow_anonymous: true\nbundles: [x]\nallow_fields: [echo]",
            "allow_fields",
            "only while there are no bundles",
        ),
    ],
)
def test_one_mistake(text: str, where: str, words: str, tmp_path: Path) -> None:
    found = [line for line in told(text, tmp_path) if words in line]
    assert len(found) == 1
    assert where in found[0].split(": ")[0]


def test_mistakes_between_fields_come_together(tmp_path: Path) -> None:
    lines = told("bundles: [x]\nallow_fields: [echo]\n", tmp_path)
    assert [line.split(": ")[0] for line in lines] == ["keys", "allow_fields", "bundle_key"]


def test_missing_file(tmp_path: Path) -> None:
    assert [m.text for m in check(tmp_path / "none.yaml")[1]] == ["no such file"]


def test_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        "allow_anonymous: true\nlisten: {host: 0.0.0.0, port: 1}\nupstream: {engine_key: from-the-file-16}\n", tmp_path
    )
    monkeypatch.setenv("LETHE_LISTEN__PORT", "2")
    monkeypatch.setenv("LETHE_ENGINE_KEY", "from-the-environment")
    settings, _ = check(path)
    assert settings is not None
    assert (settings.listen.host, settings.listen.port) == ("0.0.0.0", 2)  # noqa: S104
    assert settings.upstream.engine_key is not None
    assert settings.upstream.engine_key.get_secret_value() == "from-the-environment"
    assert "from-the-environment" not in repr(settings)


def test_file_in_the_current_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "lethe.yaml").write_text("allow_anonymous: true\nlisten: {port: 7}\n")
    settings, _ = check()
    assert settings is not None
    assert settings.listen.port == 7


def test_mistyped_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_UPSTREM__URL", "http://x")
    monkeypatch.setenv("LETHE_UPSTREAM__TMEOUTS", "{}")
    lines = told("allow_anonymous: true", tmp_path)
    assert any(line.startswith("LETHE_UPSTREM__URL: unknown variable") for line in lines)
    assert "upstream.tmeouts: unknown key, did you mean upstream.timeouts?" in lines


def bundles(folders: list[Path], tmp_path: Path, more: str = "") -> list[str]:
    listed = "".join(f"  - {folder}\n" for folder in folders)
    return told(f"allow_anonymous: true\nbundle_key: {BUNDLE_KEY}\n{more}bundles:\n{listed}", tmp_path)


KEYED = "upstream: {engine_key: 0123456789abcdef}\n"


def test_bundles(tmp_path: Path, bundle: BundleMaker) -> None:
    good = bundle()
    assert bundles([good], tmp_path, KEYED) == []
    assert bundles([good], tmp_path) == [
        "upstream.engine_key: policies that intervene need it; set LETHE_ENGINE_KEY on both sides"
    ]
    (line,) = bundles([good, good], tmp_path, KEYED)
    assert line == "bundles.1: holds the same policy as bundles.0; list one of them"
    (line,) = bundles([bundle("100002", expires=date(2020, 1, 1))], tmp_path, KEYED)
    assert line == "bundles.0: policy 100002 expired on 2020-01-01; it is not in force"
    (line,) = bundles([tmp_path / "nothing"], tmp_path, KEYED)
    assert "is not a bundle" in line


def test_bundle_with_another_key(tmp_path: Path, bundle: BundleMaker) -> None:
    folder = bundle()
    (line,) = told(f"allow_anonymous: true\nbundle_key: {'cd' * 32}\n{KEYED}bundles: [{folder}]\n", tmp_path)
    assert "LETHE_BUNDLE_KEY is not the key of this bundle" in line


def test_bundle_that_was_changed(tmp_path: Path, bundle: BundleMaker) -> None:
    folder = bundle()
    (folder / "program.safetensors").write_bytes(b"x")
    (line,) = bundles([folder], tmp_path, KEYED)
    assert "was changed after it was compiled" in line


def test_bundles_for_different_models(tmp_path: Path, bundle: BundleMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.gateway import upstream

    first = bundle("100001")
    monkeypatch.setitem(upstream.FINGERPRINT, "dtype", "bfloat16")
    (line,) = bundles([first, bundle("100002")], tmp_path, KEYED)
    assert line == "bundles.1: was compiled for another model than bundles.0 (dtype: bfloat16 != float32)"


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    from gateway.check import _models_in

    yield model
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            yield from _models(inner)


def test_every_setting_is_described() -> None:
    missing = [
        f"{model.__name__}.{name}"
        for model in _models(Settings)
        for name, field in model.model_fields.items()
        if not re.match(r".{10,}", field.description or "")
    ]
    assert missing == []


def test_the_placeholder_of_the_example_is_told(tmp_path: Path) -> None:
    key = f"keys: [{{tenant: a, sha256: '{'0' * 64}'}}]\n"
    settings, mistakes = check(write(key, tmp_path))
    assert settings is not None
    assert [(m.where, m.fatal) for m in mistakes] == [("keys.0.sha256", False)]
