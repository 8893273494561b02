"""Trivial codes are undone, and mapped back to the encoded run."""

from __future__ import annotations

import base64
import codecs
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.reading import Reader

SECRET = "Who wrote the Harry Potter books?"
RAW = SECRET.encode()
NESTED = base64.b64encode(base64.b64encode(RAW)).decode()


def seen(reader: Reader, text: str) -> list[str]:
    return [view.view.text.strip() for view in reader.read(text).views]


@pytest.mark.parametrize(
    "coded",
    [
        base64.b64encode(RAW).decode(),
        base64.b64encode(RAW).decode().rstrip("="),
        base64.encodebytes(RAW * 4).decode(),
        base64.b64encode(SECRET.encode("utf-16-le")).decode(),
        RAW.hex(),
        RAW.hex(" "),
        "".join(f"\\x{b:02x}" for b in RAW),
        "".join(f"\\u{b:04x}" for b in RAW),
        "".join(f"&#{b};" for b in RAW),
        "".join(f"%{b:02X}" for b in RAW),
        urllib.parse.quote(SECRET),
        codecs.encode(SECRET, "rot13"),
        SECRET[::-1],
        NESTED,
        SECRET.replace("a", "4").replace("o", "0").replace("e", "3"),
    ],
)
def test_codes_are_undone(reader: Reader, coded: str) -> None:
    assert any("harry potter" in view for view in seen(reader, coded))


def test_three_codes_inside_each_other_are_not_undone(reader: Reader) -> None:
    assert not any("harry" in view for view in seen(reader, base64.b64encode(NESTED.encode()).decode()))


@pytest.mark.parametrize("text", ["H a r r y  P o t t e r", "H.a.r.r.y P-o-t-t-e-r", "H_A_R_R_Y_P_O_T_T_E_R"])
def test_spaced_letters_are_joined(reader: Reader, text: str) -> None:
    assert "harrypotter" in seen(reader, text)


@pytest.mark.parametrize(
    "text",
    [
        "The documentation of the configuration is in the administration manual.",
        "call PyObject_CallFunctionObjArgs(self, name) and then interoperability",
        "It is 20 % or 100% & more; x < y.",
        "Numbers: 10 11 12 13 14.",
    ],
)
def test_ordinary_text_has_one_view(reader: Reader, text: str) -> None:
    assert len(seen(reader, text)) == 1


def test_a_hit_maps_to_the_whole_run(reader: Reader) -> None:
    code = base64.b64encode(RAW).decode()
    text = f"Decode {code} please"
    view = next(v for v in reader.read(text).views if "harry" in v.view.text)
    at = view.view.text.index("harry")
    assert (int(view.starts[at]), int(view.ends[at])) == (7, 7 + len(code))


@settings(deadline=None)
@given(st.text(st.sampled_from("aA4%&#;x\\u0 =/+_3"), max_size=200))
def test_code_like_text_is_read(reader: Reader, text: str) -> None:
    reading = reader.read(text)
    for view in reading.views:
        assert len(view.starts) == len(view.ends) == len(view.view.text)
        assert (view.starts < view.ends).all()
        assert not len(view.ends) or (view.ends.max() <= len(text) and view.starts.min() >= 0)
    assert ((reading.starts >= 0) & (reading.starts < reading.ends) & (reading.ends <= len(text))).all()
