"""What is known of texts read before, so that a conversation is charged for its new text only."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from guards.verdict import TextPart

BYTES = 64 * 2**20
"""Charge of all that is kept."""
MOST = 2000
"""What holds more names and windows than that is not kept."""
_ENTRY, _ITEM = 400, 250


class Weighed(Protocol):
    """What a memory keeps: it knows its names and windows, and the bytes of the rest of it."""

    @property
    def items(self) -> int:
        """Number of names and windows."""

    @property
    def bytes(self) -> int:
        """Size without them."""


Kept = TypeVar("Kept", bound=Weighed)


class Memory(Generic[Kept]):
    """Keeps what was used last; knows the texts it is about by a keyed digest only. Thread-safe."""

    def __init__(self, limit: int = BYTES) -> None:
        """`limit` is in bytes."""
        self.limit = limit
        self.charged = 0
        self._key = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, tuple[Kept, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def digest(self, text: str, shape: str = "") -> bytes:
        """Under what a text is kept; `shape` tells apart readings of one text that differ."""
        data = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data + b"\xff" + shape.encode(), key=self._key, digest_size=16).digest()

    def beginnings(self, parts: Sequence[TextPart], most: int) -> list[tuple[int, bytes]]:
        """Under what the first texts of a request are kept, all of them first, then one less, `most` times less.

        Every text is digested once, with its place in the request and its role.
        """
        first = max(len(parts) - most, 1)
        state = hmac.new(self._key, _written(parts[:first]), "sha256")  # in hardware; it is all of a conversation
        found = [(first, state.digest())]
        for number in range(first, len(parts)):
            state.update(_written(parts[number : number + 1]))
            found.append((number + 1, state.digest()))
        return found[::-1]

    def get(self, digest: bytes) -> Kept | None:
        """What is kept under a digest, or None."""
        with self._lock:
            known = self._kept.get(digest)
            if known is None:
                return None
            self._kept.move_to_end(digest)
            return known[0]

    def keep(self, digest: bytes, value: Kept) -> None:
        """Keep something, and forget what was not used for longest."""
        items = value.items
        if items > MOST:
            return
        charge = _ENTRY + value.bytes + _ITEM * items
        with self._lock:
            if digest not in self._kept:
                self._kept[digest] = (value, charge)
                self.charged += charge
            while self.charged > self.limit:
                self.charged -= self._kept.popitem(last=False)[1][1]


def _written(parts: Sequence[TextPart]) -> bytes:
    """The parts as bytes, which no other parts have, those of each behind those of the one before."""
    written = "".join([f"={p.path}\0{p.role}\0{p.text}\0" for p in parts])
    if written.count("\0") > 3 * len(parts):
        written = "".join(map(_measured, parts))
    return written.encode("utf-8", "surrogatepass")


def _measured(part: TextPart) -> str:
    """A part that may hold the sign between its fields."""
    fields = f"{part.path}\0{part.role}\0{part.text}\0"
    if fields.count("\0") == 3:
        return f"={fields}"
    return f"#{len(part.path)},{len(part.role)},{len(part.text)}:{part.path}{part.role}{part.text}"
