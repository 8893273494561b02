"""First words of the spellings of several indices, looked up once for all of them.

An index says by one digest whether a spelling begins with a word. Words recur, and there are as many indices as
policies: what was found of a word is kept under a digest of its own, whose key no other process has and nothing writes
down.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterable, Mapping

from guards.blindindex import DIGEST, BlindIndex

_REMEMBERED = 1 << 16

Heads = Mapping[bytes, Mapping[str, int]]
"""Key of an index -> words with which spellings of it begin -> the lengths of these, as in `BlindIndex.heads`."""


class Begins:
    """Says with which of some words spellings begin. Thread-safe."""

    def __init__(self, indices: Iterable[BlindIndex]) -> None:
        """`indices` are all that will be asked about."""
        self._indices = tuple(indices)
        self._key = secrets.token_bytes(32)
        self._found: dict[bytes, tuple[tuple[bytes, int], ...]] = {}
        self._lock = threading.Lock()

    def of(self, words: Iterable[str]) -> Heads:
        """Those of the words with which spellings begin; an index without any is left out."""
        heads: dict[bytes, dict[str, int]] = {}
        found, key = self._found, self._key
        for word in words:
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), key=key, digest_size=DIGEST).digest()
            known = found.get(digest)
            if known is None:
                known = self._look(word)
                self._keep(digest, known)
            for index, lengths in known:  # two indices may have one key
                begun = heads.setdefault(index, {})
                begun[word] = begun.get(word, 0) | lengths
        return heads

    def _look(self, word: str) -> tuple[tuple[bytes, int], ...]:
        lengths = ((index.key, index.heads.get(index.digests.head(word), 0)) for index in self._indices)
        return tuple((key, length) for key, length in lengths if length)

    def _keep(self, digest: bytes, found: tuple[tuple[bytes, int], ...]) -> None:
        with self._lock:
            if len(self._found) >= _REMEMBERED:  # a new table: other threads may read the old one
                self._found = {}
            self._found[digest] = found
