"""Bytes, and all that they unpack to: compression, archives, safetensors, strings of JSON, base64, hexadecimal."""

from __future__ import annotations

import base64
import binascii
import bz2
import io
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

_BASE64, _HEX = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}"), re.compile(rb"(?:[0-9A-Fa-f]{2}){8,}")
_UNPACKERS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", lambda data: zlib.decompressobj(31).decompress(data)),  # unlike `gzip`, it lets other bytes follow
    (b"BZh", bz2.decompress),
    (b"\xfd7zXZ", lzma.decompress),
    *((head, zlib.decompress) for head in (b"\x78\x01", b"\x78\x9c", b"\x78\xda")),
)


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes, and the place where they were found."""

    place: str
    data: bytes


def unpacked(place: str, data: bytes, depth: int = 3) -> Iterator[Blob]:
    """Some bytes, and all that they unpack to."""
    yield Blob(place, data)
    if depth:
        for name, inner in chain(_archived(data), _structured(data), _encoded(data)):
            yield from unpacked(f"{place} > {name}", inner, depth - 1)


def _archived(data: bytes) -> Iterator[tuple[str, bytes]]:
    for head, unpack in _UNPACKERS:
        at = data.find(head)
        while at >= 0:
            with suppress(OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):  # most are no headers
                yield f"compressed at {at}", unpack(data[at:])
            at = data.find(head, at + 1)
    if data[:4] == b"PK\x03\x04":
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from [(name, archive.read(name)) for name in archive.namelist()]


def _structured(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Tensors with the metadata, and the strings of a JSON document, whose escapes hide other scripts."""
    tensors = tensors_of(data)
    if tensors:
        yield "header", data[8 : 8 + int.from_bytes(data[:8], "little")]
        yield from ((name, tensor.tobytes()) for name, tensor in tensors.items())
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    strings = "\n".join(_strings(value))
    if strings:
        yield "strings", strings.encode("utf-8", "surrogatepass")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _encoded(data: bytes) -> Iterator[tuple[str, bytes]]:
    for name, pattern, decode in (("hex", _HEX, binascii.unhexlify), ("base64", _BASE64, _from_base64)):
        runs = [decode(match[0]) for match in pattern.finditer(data)]
        if runs:
            yield name, b"\0".join(runs)


def _from_base64(run: bytes) -> bytes:
    body = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    body = body[: len(body) - (len(body) % 4 == 1)]
    return base64.b64decode(body + b"=" * (-len(body) % 4))


def tensors_of(data: bytes) -> Mapping[str, npt.NDArray[Any]]:
    """Tensors of a safetensors file; none where it is not one."""
    try:
        return load(data) if len(data) > 8 and int.from_bytes(data[:8], "little") < len(data) else {}
    except (SafetensorError, ValueError, KeyError):
        return {}
