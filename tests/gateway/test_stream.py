from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFailedError
from gateway.stream import MAX_HELD, Frames, data_of, split

line = st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"?").replace(b"\r", b"!"))
frame = st.builds(lambda data, end: b"data: " + data + end, line, st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n\r\n"]))


def _cut(whole: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    return [whole[a:b] for a, b in pairwise(places)]


@given(st.lists(frame, max_size=6), st.lists(st.integers(0, 500), max_size=12))
def test_any_cutting_gives_the_same_bytes(frames: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(frames) + b"data: [DONE]\n\n"
    relay, out = Frames(), b""
    for piece in _cut(whole, cuts):
        out += relay.feed(piece)
        assert out == b"" or out.endswith((b"\n\n", b"\n\r\n"))  # never half a frame
        assert whole.startswith(out)
    rest, complete = relay.finish()
    assert (out + rest, complete) == (whole, True)


@given(st.lists(frame, min_size=1, max_size=6), st.integers(1, 20), st.lists(st.integers(0, 500), max_size=12))
def test_a_torn_frame_is_dropped(frames: list[bytes], missing: int, cuts: list[int]) -> None:
    whole = b"".join(frames)
    torn = whole[:-missing]
    relay, out = Frames(), b""
    for piece in _cut(torn, cuts):
        out += relay.feed(piece)
    rest, complete = relay.finish()
    assert not complete
    assert rest.strip() == b""
    assert whole.startswith(out)
    assert out == b"" or out.endswith((b"\n\n", b"\n\r\n"))


@pytest.mark.parametrize(
    "end", [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE]\r\n\r\n", b"data: [DONE]\n", b"data: [DONE]"]
)
def test_ends_that_count_as_complete(end: bytes) -> None:
    relay = Frames()
    out = relay.feed(b'data: {"a":1}\n\n') + relay.feed(end)
    rest, complete = relay.finish()
    assert complete
    assert out + rest == b'data: {"a":1}\n\n' + end


@pytest.mark.parametrize("end", [b"", b'data: {"text":"data: [DONE]"}\n\n', b"data: [DON"])
def test_ends_that_do_not(end: bytes) -> None:
    relay = Frames()
    relay.feed(b"data: 1\n\n")
    relay.feed(end)
    assert not relay.finish()[1]


def test_a_frame_without_an_end_does_not_fill_the_memory() -> None:
    relay = Frames()
    for _ in range(MAX_HELD // 4096):
        assert relay.feed(b"x" * 4096) == b""
    with pytest.raises(UpstreamFailedError):
        relay.feed(b"x")


def test_frames_come_apart_and_join_again() -> None:
    data = b": note\n\ndata: {}\r\n\r\nevent: x\ndata: a\ndata: b\n\ndata: [DONE]"
    parts = list(split(data))
    assert b"".join(parts) == data
    assert [data_of(part) for part in parts] == [b"", b"{}", b"a\n b", b"[DONE]"]
    assert list(split(b"")) == []
