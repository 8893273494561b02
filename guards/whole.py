"""Vectors of whole short texts, by an encoder that is too dear to read everything with."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Sequence

import numpy as np

from guards.encoder import Encoder, Floats
from guards.normalize import Normalizer

LONGEST = 600
"""Characters of a text that is read: some 128 tokens of English, after which an encoder stops reading."""
CHUNK = 256
"""Texts that an encoder reads at once: it may put those of alike length together."""


class Whole:
    """Reads texts as one vector each, and remembers up to `capacity` of them by a keyed digest. Thread-safe."""

    def __init__(self, encoder: Encoder, normalizer: Normalizer, capacity: int = 1 << 15) -> None:
        self.encoder, self._normalizer, self._capacity = encoder, normalizer, capacity
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, Floats] = {}
        self._lock = threading.Lock()

    def vectors(self, texts: Sequence[str], done: Callable[[], object] = lambda: None) -> Floats:
        """One unit vector per text, `[texts, dim]`; `done` is called after each that is new."""
        digests = {text: self._digest(text) for text in texts}
        found = {text: row for text, digest in digests.items() if (row := self._known.get(digest)) is not None}
        new = [text for text in digests if text not in found]
        for low in range(0, len(new), CHUNK):
            chunk = new[low : low + CHUNK]
            for text, row in zip(chunk, self._read(chunk), strict=True):
                found[text] = row
                done()
        with self._lock:
            if len(self._known) + len(new) > self._capacity:
                self._known = {}
            self._known.update((digests[text], found[text]) for text in new[: self._capacity])
        return np.stack([found[text] for text in texts]) if texts else np.zeros((0, self.encoder.dim), np.float32)

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    def _read(self, texts: Sequence[str]) -> Floats:
        words = [self._normalizer.fold(text).words()[0] or ["."] for text in texts]
        ends = np.cumsum([len(one) for one in words])
        read = self.encoder.read([word for one in words for word in one])
        return read.vectors(ends - [len(one) for one in words], ends)
