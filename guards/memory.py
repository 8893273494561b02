"""Evidence of texts read before, so that a conversation is charged for its new text only."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict

from guards.evidence import Evidence

BYTES = 64 * 2**20
"""Charge of all texts that are kept."""
MOST = 2000
"""A text with more names and windows than that is not kept."""
_ENTRY, _FOUND = 400, 250


class Memory:
    """Keeps the texts used last; knows them by a keyed digest only. Thread-safe."""

    def __init__(self, limit: int = BYTES) -> None:
        """`limit` is in bytes."""
        self.limit = limit
        self.charged = 0
        self._key = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, tuple[Evidence, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def digest(self, text: str, shape: str = "") -> bytes:
        """Under what a text is kept; `shape` tells apart readings of one text that differ."""
        data = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data + b"\xff" + shape.encode(), key=self._key, digest_size=16).digest()

    def get(self, digest: bytes) -> Evidence | None:
        """The evidence of a text, or None."""
        with self._lock:
            known = self._kept.get(digest)
            if known is None:
                return None
            self._kept.move_to_end(digest)
            return known[0]

    def keep(self, digest: bytes, evidence: Evidence) -> None:
        """Keep the evidence of a text, and forget what was not used for longest."""
        items = sum(map(len, evidence.found.values())) + sum(map(len, evidence.hits.values()))
        if items > MOST:
            return
        charge = _ENTRY + evidence.best.nbytes + _FOUND * items
        with self._lock:
            if digest not in self._kept:
                self._kept[digest] = (evidence, charge)
                self.charged += charge
            while self.charged > self.limit:
                self.charged -= self._kept.popitem(last=False)[1][1]
