"""Bundles: what is written can be read with the key only, and nothing can be exchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from steering.activation import NEVER, PHI, Activation, EditProgram, parameters
from steering.bundle import (
    CARD,
    MANIFEST,
    PROGRAM,
    SENSITIVE,
    BundleError,
    Manifest,
    parse_key,
    read_bundle,
    read_manifest,
    write_bundle,
)
from steering.program import EcoProgram, Program, ProgramError, load_program
from steering.spec import ModelFingerprint

MODEL = ModelFingerprint(id="m", weights_sha256="0" * 64, dtype="float32", hidden_size=4)
KEY = parse_key("ab" * 32)
SECRET = b"Orla Quistmere wrote about tides"


def program(**fields: object) -> bytes:
    eco = EcoProgram(**{"kind": "noise", "dims": 1, "strength": 2.0, "seed": 3, "model": MODEL} | fields)  # type: ignore[arg-type]
    return Program(eco, np.zeros(4, np.float32)).to_bytes()


def activation(columns: int = 3, layers: tuple[int, ...] | None = None, **tensors: np.ndarray[Any, Any]) -> bytes:
    layers = (1,) * columns if layers is None else layers
    edit = EditProgram(method="projection", layers=layers, strength=0.5, most=1.0, model=MODEL)
    plain = {
        "probes": np.ones((4, columns), np.float32),
        "phi": parameters(columns, slope=-1.0),
        "directions": np.ones((columns, 4), np.float32),
    }
    return Activation(edit, **(plain | tensors)).to_bytes()


def gating(*columns: int) -> np.ndarray[Any, Any]:
    return np.concatenate([parameters(1, slope=-1.0, gates=float(gate)) for gate in columns], axis=1)


def write(folder: Path, version: int = 1, data: bytes | None = None, sites: tuple[str, ...] = ("embed",)) -> Manifest:
    manifest = Manifest(
        number="123456", version=version, method="eco", mask="entities", model=MODEL, sites=sites, created="now"
    )
    return write_bundle(folder, manifest, data or program(), {"policy": SECRET, "guard": b"\x00\xff"}, "# card", KEY)


def test_round_trip_and_replacement(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write(folder)
    written = write(folder, version=2)
    bundle = read_bundle(folder, KEY)
    assert bundle.manifest == written == read_manifest(folder)
    assert bundle.manifest.program_id == "p123456@2"
    assert bundle.sensitive == {"policy": SECRET, "guard": b"\x00\xff"}
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"], "nothing is left behind"


def test_a_program_that_is_derived_from_forgotten_text_is_encrypted(tmp_path: Path) -> None:
    data = activation()
    write(tmp_path / "bundle", data=data, sites=("layer.1",))
    stored = (tmp_path / "bundle" / PROGRAM).read_bytes()
    assert b"probes" in data
    assert b"probes" not in stored
    assert read_bundle(tmp_path / "bundle", KEY).program == data
    with pytest.raises(BundleError, match="not the key of this bundle"):
        read_bundle(tmp_path / "bundle", parse_key("cd" * 32))
    file = tmp_path / "bundle" / MANIFEST
    file.write_text(file.read_text().replace('"layer.1"', '"embed"'))
    with pytest.raises(BundleError, match="its manifest was edited"):
        read_bundle(tmp_path / "bundle", KEY)


def test_nothing_readable_holds_the_secret(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    for file in (tmp_path / "bundle").iterdir():
        data = file.read_bytes().lower()
        assert not any(word.lower() in data for word in SECRET.split()), file.name
    plain = (tmp_path / "bundle" / SENSITIVE).with_name("control")
    plain.write_bytes(SECRET)
    assert b"quistmere" in plain.read_bytes().lower(), "positive control of the search above"


@pytest.mark.parametrize("name", [PROGRAM, SENSITIVE])
def test_a_changed_part_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / "bundle")
    file = tmp_path / "bundle" / name
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(BundleError, match=f"{name} was changed"):
        read_bundle(tmp_path / "bundle", KEY)


def test_parts_of_two_bundles_cannot_be_mixed(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", version=2)
    manifest = json.loads((tmp_path / "a" / MANIFEST).read_text())
    other = json.loads((tmp_path / "b" / MANIFEST).read_text())
    (tmp_path / "a" / SENSITIVE).write_bytes((tmp_path / "b" / SENSITIVE).read_bytes())
    manifest["sha256"][SENSITIVE] = other["sha256"][SENSITIVE]
    (tmp_path / "a" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="its manifest was edited"):
        read_bundle(tmp_path / "a", KEY)


def test_an_edited_manifest_and_a_wrong_key_do_not_open_it(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    with pytest.raises(BundleError, match="not the key of this bundle"):
        read_bundle(tmp_path / "bundle", parse_key("cd" * 32))
    file = tmp_path / "bundle" / MANIFEST
    file.write_text(file.read_text().replace('"mask": "entities"', '"mask": "content"'))
    with pytest.raises(BundleError, match="its manifest was edited"):
        read_bundle(tmp_path / "bundle", KEY)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        read_manifest(tmp_path)
    write(tmp_path / "bundle")
    (tmp_path / "bundle" / PROGRAM).unlink()
    with pytest.raises(BundleError, match="is incomplete"):
        read_bundle(tmp_path / "bundle", KEY)
    assert (tmp_path / "bundle" / CARD).read_text() == "# card"


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "ab" * 33])
def test_keys(text: str) -> None:
    with pytest.raises(BundleError, match="64 hexadecimal digits"):
        parse_key(text)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    write(tmp_path / "bundle", data=save({"substitute": np.array([value], np.float32)}))
    with pytest.raises(BundleError, match="not finite"):
        read_bundle(tmp_path / "bundle", KEY)
    good = load_program(program())
    assert isinstance(good, Program)
    bad = Program(good.eco, np.full(4, value, np.float32)).to_bytes()
    with pytest.raises(ProgramError, match="finite"):
        load_program(bad)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a program"),
        (save({"substitute": np.zeros(4, np.float32)}), "not a program"),
        (program(kind="replace", strength=1.5), r"share in \(0, 1\]"),
        (program(dims=9), "hidden size is 4"),
        (program()[:-4], "not a program"),
        (activation(probes=np.full((4, 3), np.nan, np.float32)), "probes must be float32 and finite"),
        (activation(directions=np.full((3, 4), -np.inf, np.float32)), "directions must be float32 and finite"),
        (activation(phi=np.full((len(PHI), 3), np.nan, np.float32)), "phi must be float32 and finite"),
        (activation(probes=np.ones((4, 3))), "probes must be float32"),
        (activation(probes=np.ones((4, 2), np.float32)), "this one holds"),
        (activation(layers=(2, 1, 1)), "ascending"),
        (activation(columns=65), "up to 64 columns"),
        (activation(columns=5, layers=(0, 1, 2, 3, 4)), "up to 4 layers"),
        (activation().replace(b"projection", b"projectiom"), "not a program"),
        (activation(phi=parameters(3, gates=1.0)), "behind which no column moves anything"),
        (activation(phi=parameters(3, gates=0.5)), "neither 0 nor 1"),
        (activation(layers=(1, 1, 2), phi=gating(0, 0, 1)), "behind which no column moves anything"),
        (activation(phi=gating(1, 0, 0)), "direction of a column that opens a gate must be zero"),
    ],
)
def test_programs_that_make_no_sense_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ProgramError, match=reason):
        load_program(data)


def test_a_direction_beyond_the_data_type_is_refused() -> None:
    half = MODEL.model_copy(update={"dtype": "float16"})
    for value, fits in ((6e4, True), (7e4, False)):
        edit = EditProgram(method="redirect", layers=(0,), strength=1.0, most=16.0, model=half)
        move = np.full((1, 4), value, np.float32)
        data = Activation(edit, np.zeros((4, 1), np.float32), parameters(1, constant=1.0), move).to_bytes()
        if fits:
            assert load_program(data).model == half
        else:
            with pytest.raises(ProgramError, match="leaves the range of float16"):
                load_program(data)
    assert np.isfinite(parameters(1)).all()
    assert parameters(1)[PHI.index("threshold")] == NEVER


def test_a_fingerprint_names_what_differs() -> None:
    assert MODEL.mismatch(MODEL.model_copy(update={"id": "another name"})) is None
    assert MODEL.mismatch(MODEL.model_copy(update={"dtype": "bfloat16"})) == "dtype: float32 != bfloat16"


@pytest.mark.parametrize(
    ("change", "precision"),
    [
        ({"dtype": "bfloat16"}, True),
        ({"quantization": "int8", "weights_sha256": "1" * 64}, True),
        ({"weights_sha256": "1" * 64}, False),
        ({"dtype": "bfloat16", "weights_sha256": "1" * 64}, False),
        ({"quantization": "int8", "hidden_size": 8}, False),
        ({"id": "another name"}, False),
    ],
)
def test_what_another_precision_is(change: dict[str, object], precision: bool) -> None:
    other = MODEL.model_copy(update=change)
    assert MODEL.differs_in_precision(other) is precision
    assert ("--recalibrate" in MODEL.remedy(other)) is precision
