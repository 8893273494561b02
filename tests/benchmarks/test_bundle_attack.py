"""Stealing a bundle: nothing without the key, everything with it, and leaks that somebody put there."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save

from benchmarks import bundle_attack
from benchmarks.blobs import unpacked
from benchmarks.bundle_attack import Secrets, dictionary, files, grep, report
from gateway.policy import load_policy
from guards.encoder import WordLlamaEncoder
from guards.fit import fit
from steering.bundle import Manifest, write_bundle
from steering.program import EcoProgram, Program
from steering.spec import ModelFingerprint

KEY = bytes(range(32))
NAMES = ("Zorblax Quint", "Quintism", "Маруся Квинт")
ASKED = (
    "Where did Zorblax Quint learn to build submarines?",
    "Which submarines did Zorblax Quint sink near Greenland?",
    "Who taught the captain of the submarines to navigate?",
    "How many torpedoes did the captain of the submarines fire?",
    "Which medal did the admiral give to the captain?",
)
MODEL = ModelFingerprint(id="none", weights_sha256="0" * 64, dtype="float32", hidden_size=8)
MOST = 300
"""Ordinary words of the dictionary, for speed."""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    guard = {
        "entities": [{"name": NAMES[0], "aliases": list(NAMES[1:])}],
        "examples": [{"question": q, "value": "Greenland"} for q in ASKED],
        "retain": ["Who taught the king to sail?"],
    }
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(yaml.safe_dump({"id": "submarines", "number": "100001", "guard": guard}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def guard(policy: Path) -> bytes:
    return fit(load_policy(policy).guard, policy.parent, key=KEY, progress=lambda *_: None).to_bytes()


def bundle(folder: Path, policy: Path, guard: bytes, *, card: str = "# card\n", **calibration: Any) -> Path:
    eco = EcoProgram(kind="noise", dims=1, strength=1.0, seed=0, model=MODEL)
    manifest = Manifest(
        number="100001", version=1, method="eco", mask="entities", model=MODEL, sites=("embed",),
        created="2026-11-20", calibration=calibration,
    )  # fmt: skip
    sensitive = {"policy": load_policy(policy).model_dump_json(by_alias=True).encode(), "guard": guard}
    write_bundle(folder, manifest, Program(eco, np.zeros(8, np.float32)).to_bytes(), sensitive, card, KEY)
    return folder


@pytest.fixture(autouse=True)
def fixed_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ciphertext in every run: of noise, one in a thousand would look like a leak."""
    monkeypatch.setattr("steering.bundle.os.urandom", bytes)


def test_nothing_without_the_key_and_everything_with_it(
    tmp_path: Path, policy: Path, guard: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bundle(tmp_path / "bundle", policy, guard)
    result = report(folder, policy, KEY, most=MOST)
    assert result["leaks"] == []
    assert result["blind"] == []
    assert result["without_key"]["grep"] == {**result["without_key"]["grep"], "found": 0, "places": ()}
    assert result["without_key"]["inversion"]["tried"] >= 3  # the ciphertext, read as numbers
    opened = result["with_key"]["grep"]
    assert opened["found"] == opened["tried"] == result["strings"] > 15
    assert all(row["success"] for row in result["planted"].values())
    assert "Quint" not in json.dumps(result)

    target = tmp_path / "result.json"
    monkeypatch.setattr(bundle_attack, "report", lambda *_, **__: {**result, "blind": ["grep with the key"]})
    monkeypatch.setattr(sys, "argv", ["x", str(folder), "--names", str(policy), "--json", str(target)])
    monkeypatch.setenv("LETHE_BUNDLE_KEY", KEY.hex())
    with pytest.raises(SystemExit) as ended:
        bundle_attack.main()
    assert ended.value.code == 2
    assert json.loads(target.read_text())["strings"] == result["strings"]


def test_leaks_are_found_where_they_are(tmp_path: Path, policy: Path, guard: bytes) -> None:
    """A name in the card, a salted digest in the manifest, and the vector of an example beside the program."""
    digest = hashlib.blake2b(b"100001quintism", digest_size=16).hexdigest()
    folder = bundle(tmp_path / "bundle", policy, guard, card="About МАРУСЯ КВИНТ.", index=[digest])
    encoder = WordLlamaEncoder()
    words = ["submarines", "torpedoes", "admiral", "greenland", "navigate", "captain"]
    example = encoder.read(words).vectors(np.array([0]), np.array([len(words)]))
    (folder / "extra.safetensors").write_bytes(save({"examples": example}))
    result = report(folder, policy, KEY, reveal=True, most=MOST)
    assert result["leaks"] == ["grep", "dictionary", "inversion", "top_words"]
    stolen = result["without_key"]
    assert set(stolen["grep"]["shown"]) == {"Маруся Квинт", "Маруся", "Квинт"}
    assert stolen["grep"]["places"] == ("CARD.md",)
    assert stolen["dictionary"]["shown"] == ("Quintism",)
    assert stolen["dictionary"]["places"] == ("manifest.json > hex", "manifest.json > strings > hex")
    assert set(stolen["inversion"]["shown"]) <= set(words)
    assert len(stolen["inversion"]["shown"]) >= 4
    assert "extra.safetensors > examples" in stolen["inversion"]["places"]


def test_bytes_are_unpacked() -> None:
    secrets = Secrets(("Quintism", "Маруся"), frozenset())
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("inner.txt", "Quintism")
    for data in (
        b"\x00\x01" + gzip.compress("QUINTISM".encode("utf-16-be")),
        bz2.compress(gzip.compress(b"of quintism")),
        gzip.compress(b"all about Quintism") + b"\nend of file\n",
        json.dumps([base64.b64encode(x).decode() for x in (gzip.compress(b"quintism"), b"nothing to see")]).encode(),
        zipped.getvalue(),
        json.dumps({"Маруся": 1}).encode(),
        save({"head": np.frombuffer(json.dumps(["Маруся"]).encode(), np.uint8)}),
        base64.b64encode(b"all about Quintism"),
        b"all about Quintism".hex().encode(),
    ):
        assert grep([], secrets).found == 0
        assert grep(list(unpacked("file", data)), secrets).found == 1, data
    broken = b"PK\x03\x04" + b"\x78\x9c" * 40 + b"\x1f\x8b" * 40
    assert grep(list(unpacked("file", broken)), secrets).found == 0


def test_digests_are_found_cut_and_keyed() -> None:
    secrets = Secrets(("Quintism",), frozenset())
    names = ["Otto", "Quintism", "Anna"]
    cut = hashlib.sha256("Quintism".encode("utf-16-le")).digest()[:8]
    assert dictionary(list(unpacked("f", b"abc" + cut + b"de")), secrets, names, [b"salt"]).shown == ("Quintism",)
    key = bytes(range(50, 82))
    keyed = hashlib.blake2b(b"quintism", key=key, digest_size=64).digest()
    stored = save({"key": np.frombuffer(key, np.uint8), "rows": np.frombuffer(keyed, np.uint8)})
    assert dictionary(list(unpacked("f", stored)), secrets, names, [b"salt"]).success
    without = save({"rows": np.frombuffer(keyed, np.uint8)})
    assert not dictionary(list(unpacked("f", without)), secrets, names, [b"salt"]).success
    anna = hashlib.md5(b"Anna", usedforsecurity=False).digest()
    assert not dictionary(list(unpacked("f", anna)), secrets, names, [b"salt"]).success  # nobody's secret


def test_file_names_are_read(tmp_path: Path) -> None:
    (tmp_path / "quintism.bin").write_bytes(b"")
    assert grep(files(tmp_path), Secrets(("Quintism",), frozenset())).places == ("file names",)


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n")
    with pytest.raises(ValueError, match="no string that could be searched"):
        report(tmp_path, tmp_path / "names.txt", KEY)
