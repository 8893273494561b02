"""Encoders that read a text as a whole, with a transformer: dearer than WordLlama by a factor of a hundred.

What they make of a word depends on its neighbours, so every range of words is a text of its own. `minilm` reads the
files that `lethe models fetch minilm` gets, with onnxruntime; `sentence_transformer` any folder of that library;
`hidden_states` a language model, the served one for example.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from guards.encoder import Floats
from guards.normalize import Ints

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LONGEST = 128
"""Tokens of a range that are read; windows have up to that many of WordLlama's, see `guards.windows`."""
BATCH = 32
_LOADED = "model.onnx", "tokenizer.json"

Embed = Callable[[Sequence[str]], Floats]
"""Texts -> vectors `[texts, dim]`."""


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """An `Encoder` over a function that embeds texts.

    Attributes:
        dim: width of the vectors.
        fingerprint: name and digest of weights and tokeniser.
        vocabulary: ordinary lower-case words that the tokeniser knows whole.
        embed: see `Embed`.
        count: number of tokens of each of some words.
    """

    dim: int
    fingerprint: str
    vocabulary: frozenset[str]
    embed: Embed
    count: Callable[[Sequence[str]], Sequence[int]]

    def read(self, words: Sequence[str]) -> _Read:
        """Read the words of one text."""
        return _Read(self, tuple(words))


@dataclass(frozen=True, slots=True)
class _Read:
    encoder: SentenceEncoder
    words: tuple[str, ...]

    @property
    def tokens(self) -> Ints:
        return np.maximum(np.array(self.encoder.count(self.words), np.int64), 1)

    def vectors(self, first: Ints, last: Ints) -> Floats:
        """See `guards.encoder.Encoded`. Ranges of the same words are embedded once; ranges of alike length together."""
        ranges = [" ".join(self.words[a:b]) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        texts = sorted(set(ranges), key=len)
        found = np.zeros((len(texts), self.encoder.dim), np.float32)
        for low in range(0, len(texts), BATCH):
            found[low : low + BATCH] = self.encoder.embed(texts[low : low + BATCH])
        norms = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), np.float32(1e-12))
        place = {text: row for row, text in enumerate(texts)}
        return np.asarray((found / norms)[[place[text] for text in ranges]], np.float32)


def minilm(folder: Path) -> SentenceEncoder:
    """MiniLM in int8 on one thread: mean of the last hidden states over the tokens of a text.

    Texts are read one by one: the activations of a batch share one scale, so that a vector would depend on the others.
    Raises `FileNotFoundError` for a folder without its files, `ModuleNotFoundError` without onnxruntime.
    """
    missing = [name for name in _LOADED if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} has no {' and no '.join(missing)}; run `lethe models fetch minilm`")
    runtime: Any = _library("onnxruntime", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(str(folder / _LOADED[0]), options, providers=["CPUExecutionProvider"])
    tokenizer = _tokenizer(folder)
    tokenizer.enable_truncation(LONGEST)
    tokenizer.no_padding()

    def one(text: str) -> Floats:
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        fields = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (hidden,) = session.run(None, fields)
        return np.asarray(hidden[0].mean(0), np.float32)

    def embed(texts: Sequence[str]) -> Floats:
        return np.stack([one(text) for text in texts])

    return _encoder(embed, session.get_outputs()[0].shape[-1], "minilm", folder, _LOADED)


def sentence_transformer(folder: Path) -> SentenceEncoder:
    """Any model in the layout of sentence-transformers.

    Raises `ModuleNotFoundError` without that library, and what it raises for a folder that it cannot read.
    """
    library: Any = _library("sentence_transformers", "sentence-transformers")
    model = library.SentenceTransformer(str(folder), device="cpu")
    files = sorted(
        str(f.relative_to(folder)) for f in folder.rglob("*") if f.suffix in (".safetensors", ".bin", ".json")
    )

    def embed(texts: Sequence[str]) -> Floats:
        return np.asarray(model.encode(list(texts), batch_size=BATCH, show_progress_bar=False), np.float32)

    return _encoder(embed, model.get_sentence_embedding_dimension(), "sentence-transformers", folder, files)


def hidden_states(folder: Path) -> SentenceEncoder:
    """A language model of transformers: mean over the tokens of the normed hidden states after half of its layers.

    The middle layers tell most about what a text is about; the last ones turn to the next token (Skean et al., Layer by
    Layer, ICML 2025). The layers above are not run. Raises `ModuleNotFoundError` without transformers, and what it
    raises for a folder that it cannot read.
    """
    library: Any = _library("transformers", "transformers")
    torch: Any = _library("torch", "torch")
    model = library.AutoModel.from_pretrained(str(folder), dtype=torch.float32).eval()
    del model.layers[(len(model.layers) + 1) // 2 :]
    tokenizer = _tokenizer(folder)
    tokenizer.enable_truncation(LONGEST)
    tokenizer.no_padding()

    def embed(texts: Sequence[str]) -> Floats:
        with torch.inference_mode():
            ids = (torch.tensor([tokenizer.encode(text).ids or [0]]) for text in texts)
            return np.stack([model(one).last_hidden_state[0].mean(0).numpy() for one in ids])

    files = sorted(f.name for f in folder.iterdir() if f.suffix in (".safetensors", ".json"))
    return _encoder(embed, model.config.hidden_size, "hidden", folder, files)


def _encoder(embed: Embed, dim: int, name: str, folder: Path, files: Sequence[str]) -> SentenceEncoder:
    digest = hashlib.sha256(b"".join((folder / file).read_bytes() for file in files)).hexdigest()
    tokenizer = _tokenizer(folder)
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(words: Sequence[str]) -> list[int]:
        return [len(e.ids) for e in tokenizer.encode_batch(list(words), add_special_tokens=False)]

    words = frozenset(word.lower() for word in tokenizer.get_vocab() if word.isalpha())
    return SentenceEncoder(dim, f"{name} {digest[:16]}", words, embed, count)


def _tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer  # noqa: PLC0415 - optional, like onnxruntime

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _library(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"this encoder needs {package}; run `pip install {package}`", name=module) from error
