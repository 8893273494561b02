"""Words -> vectors of word ranges."""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from guards.normalize import Ints

Floats = npt.NDArray[np.float32]

MAX_WORD = 64
"""Longer words are tokenised in pieces of so many characters: byte-pair merging of one huge word would be slow."""


_FEW = 64
"""So many new words are tokenised one by one."""


class Encoded(Protocol):
    """A text that was read once."""

    @property
    def tokens(self) -> Ints:
        """Number of tokens of every word, at least 1 each."""

    def vectors(self, first: Ints, last: Ints) -> Floats:
        """Unit vectors `[ranges, dim]` of the word ranges `[first, last)`."""


class Encoder(Protocol):
    """A text encoder. `fingerprint` names weights and tokeniser: a guard fitted with another one is refused."""

    @property
    def dim(self) -> int:
        """Width of the vectors."""

    @property
    def fingerprint(self) -> str:
        """Name and digest of weights and tokeniser."""

    @property
    def vocabulary(self) -> frozenset[str]:
        """Ordinary lower-case words that the encoder knows whole."""

    def read(self, words: Sequence[str]) -> Encoded:
        """Read the words of one text. Words hold no white space; lone surrogates are not allowed."""


class _Rows:
    """Sums of token vectors of words seen before."""

    __slots__ = ("counts", "index", "vectors")

    def __init__(self, capacity: int, dim: int) -> None:
        self.index: dict[str, int] = {}
        self.vectors = np.zeros((capacity, dim), np.float32)
        self.counts = np.zeros(capacity, np.int64)


class _Read:
    """Words of one text as rows of one or several tables."""

    def __init__(self, chunks: Sequence[tuple[_Rows, Ints]], dim: int) -> None:
        self._chunks = chunks
        self._dim = dim
        counts = [rows.counts[at] for rows, at in chunks]
        self._tokens = np.concatenate(counts) if counts else np.zeros(0, np.int64)

    @property
    def tokens(self) -> Ints:
        return self._tokens

    def vectors(self, first: Ints, last: Ints) -> Floats:
        """See `Encoded`. The direction of a sum is that of the mean, so nothing is divided by counts."""
        if len(self._chunks) == 1:
            rows, at = self._chunks[0]
            return _unit(_sums(rows.vectors, at, first, last))
        total = np.zeros((len(first), self._dim), np.float32)
        base = 0
        for rows, at in self._chunks:
            low, high = np.clip(first - base, 0, len(at)), np.clip(last - base, 0, len(at))
            base += len(at)
            hit = np.flatnonzero(high > low)
            if len(hit):
                total[hit] += _sums(rows.vectors, at, low[hit], high[hit])
        return _unit(total)


def _unit(vectors: Floats) -> Floats:
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return np.asarray(vectors / np.maximum(norms, np.float32(1e-12)), np.float32)


def _sums(vectors: Floats, at: Ints, low: Ints, high: Ints) -> Floats:
    """Sums of `vectors[at[low:high]]` for every range."""
    # Sparse and not dense: a dense product wakes the threads of the BLAS, which costs milliseconds on busy cores.
    from scipy.sparse import csr_array  # noqa: PLC0415 - only readers of text pay for the import

    size = high - low
    pointer = np.zeros(len(low) + 1, np.int64)
    np.cumsum(size, out=pointer[1:])
    columns = at[np.arange(pointer[-1]) - np.repeat(pointer[:-1] - low, size)]
    bag = csr_array((np.ones(len(columns), np.float32), columns, pointer), shape=(len(low), len(vectors)))
    return np.asarray(bag @ vectors, np.float32)


class WordLlamaEncoder:
    """Static token embeddings of the WordLlama wheel, read from its files without importing it.

    (The package sets up the root logger and an HTTP client when it is imported.) No token of its vocabulary spans two
    words, so a text is tokenised word by word, and words seen before cost one look-up. Equal to
    `WordLlama.embed(norm=True)` on texts with single spaces and words of at most `MAX_WORD` characters.
    """

    chunk = 8192

    def __init__(self, capacity: int = 4 * chunk) -> None:
        from safetensors.numpy import load_file  # noqa: PLC0415 - loaded by factories only
        from tokenizers import Tokenizer  # noqa: PLC0415 - see above

        folder = _package_folder("wordllama")
        tokenizer, weights = (
            folder / "tokenizers/l2_supercat_tokenizer_config.json",
            folder / "weights/l2_supercat_256.safetensors",
        )
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._embedding: Floats = load_file(weights)["embedding.weight"].astype(np.float32)
        digest = hashlib.sha256(weights.read_bytes() + tokenizer.read_bytes()).hexdigest()
        self._fingerprint = f"wordllama {version('wordllama')} {digest[:16]}"
        self._capacity = max(capacity, self.chunk)
        self._rows = _Rows(self._capacity, self.dim)
        self._lock = threading.Lock()

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self._embedding.shape[1])

    @property
    def fingerprint(self) -> str:
        """Name, version and digest of weights and tokeniser."""
        return self._fingerprint

    @property
    def vocabulary(self) -> frozenset[str]:
        """Words of the tokeniser's vocabulary, lower-cased."""
        return frozenset(w[1:].lower() for w in self._tokenizer.get_vocab() if w[0] == "▁" and w[1:].isalpha())

    def read(self, words: Sequence[str]) -> Encoded:
        """Read the words of one text."""
        return _Read([self._resolve(words[i : i + self.chunk]) for i in range(0, len(words), self.chunk)], self.dim)

    def _resolve(self, words: Sequence[str]) -> tuple[_Rows, Ints]:
        rows = self._rows
        found = list(map(rows.index.get, words))
        if None in found:
            with self._lock:
                rows = self._extend(dict.fromkeys(words))
            found = list(map(rows.index.get, words))
        return rows, np.array(found, np.int64)

    def _extend(self, words: Mapping[str, None]) -> _Rows:
        """Return a table that holds all the words; a full table is replaced, so memory stays bounded."""
        rows = self._rows
        new = [w for w in words if w not in rows.index]
        if len(rows.index) + len(new) > self._capacity:
            rows, new = _Rows(self._capacity, self.dim), list(words)
        pieces = [(i, w[k : k + MAX_WORD]) for i, w in enumerate(new) for k in range(0, len(w), MAX_WORD)]
        encodings = self._encode([p for _, p in pieces])
        at = len(rows.index)
        for (i, _), ids in zip(pieces, encodings, strict=True):
            rows.vectors[at + i] += self._embedding[ids].sum(0)
            rows.counts[at + i] += len(ids)
        for i, word in enumerate(new):  # last, so that readers without the lock only find finished rows
            rows.index[word] = at + i
        self._rows = rows
        return rows

    def _encode(self, pieces: Sequence[str]) -> list[list[int]]:
        if len(pieces) < _FEW:  # threads cost more than they save
            return [self._tokenizer.encode(p, add_special_tokens=False).ids for p in pieces]
        return [e.ids for e in self._tokenizer.encode_batch(list(pieces), add_special_tokens=False)]


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the package {name} is not installed; install lethe-llm with its dependencies")
    return Path(next(iter(spec.submodule_search_locations)))


def word_ranks() -> dict[str, int]:
    """Lower-case words of WordLlama's vocabulary and their places in it; it lists frequent words first.

    Byte-pair merges are learned in the order of how often pairs occur (Sennrich et al., ACL 2016).
    """
    from tokenizers import Tokenizer  # noqa: PLC0415 - loaded by factories only

    file = _package_folder("wordllama") / "tokenizers/l2_supercat_tokenizer_config.json"
    ranks: dict[str, int] = {}
    for token, rank in Tokenizer.from_file(str(file)).get_vocab().items():
        word = token[1:].lower()
        if token[0] == "▁" and word.isalpha():
            ranks[word] = min(ranks.get(word, rank), rank)
    return ranks


def load_encoder(name: str) -> Encoder:
    """Build an encoder: `wordllama`, or a kind and a folder; libraries are imported here.

    `minilm:FOLDER`, `sentence-transformers:FOLDER`, and `hidden:FOLDER` for the hidden states of a language model.

    Raises `ValueError` for another name and `ModuleNotFoundError` where a library is missing; what is missing in a
    folder raises what reads it.
    """
    kind, _, folder = name.partition(":")
    if name == "wordllama":
        return WordLlamaEncoder()
    from guards import sentences  # noqa: PLC0415 - optional libraries

    known = {
        "minilm": sentences.minilm,
        "sentence-transformers": sentences.sentence_transformer,
        "hidden": sentences.hidden_states,
    }
    if kind in known and folder:
        return known[kind](Path(folder))
    raise ValueError(f"unknown encoder {name!r}; known: wordllama, {', '.join(f'{kind}:FOLDER' for kind in known)}")
