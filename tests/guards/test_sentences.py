"""Encoders that read ranges of words as texts of their own."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModel

from guards import sentences
from guards.encoder import Encoder, Floats, load_encoder
from guards.sentences import BATCH, SentenceEncoder
from steering.weights import folder_of


def letters(texts: Sequence[str]) -> Floats:
    return np.array([[text.count(c) for c in "abc "] for text in texts], np.float32)


def test_ranges_are_texts_of_their_own() -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> Floats:
        assert len(texts) <= BATCH
        asked.extend(texts)
        return letters(texts)

    encoder: Encoder = SentenceEncoder(4, "letters", frozenset(), embed, lambda words: [len(w) for w in words])
    read = encoder.read(["aa", "b", "c", "aa", "b"])
    assert read.tokens.tolist() == [2, 1, 1, 2, 1]
    vectors = read.vectors(np.array([0, 3, 2]), np.array([2, 5, 3]))
    assert np.allclose(vectors, [[2 / 6**0.5, 1 / 6**0.5, 0, 1 / 6**0.5]] * 2 + [[0, 0, 1, 0]])
    assert asked == ["c", "aa b"]  # the shortest first, and each once
    assert read.vectors(np.zeros(0, np.int64), np.zeros(0, np.int64)).shape == (0, 4)
    many = encoder.read([f"a{i}" for i in range(100)])
    assert many.vectors(np.arange(100), np.arange(100) + 1).shape == (100, 4)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no model\.onnx and no tokenizer\.json; run `lethe models fetch minilm`"
    ):
        load_encoder(f"minilm:{tmp_path}")
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"{}")

    def absent(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(sentences, "import_module", absent)
    with pytest.raises(ModuleNotFoundError, match="needs onnxruntime; run `pip install onnxruntime`"):
        load_encoder(f"minilm:{tmp_path}")
    with pytest.raises(ModuleNotFoundError, match="needs sentence-transformers; run"):
        load_encoder(f"sentence-transformers:{tmp_path}")
    with pytest.raises(ValueError, match=r"unknown encoder 'minilm'; known: wordllama, minilm:FOLDER, .*hidden:FOLDER"):
        load_encoder("minilm")


def test_hidden_states(tiny_model: Path) -> None:
    encoder = load_encoder(f"hidden:{tiny_model}")
    whole = AutoModel.from_pretrained(str(tiny_model), dtype="float32").eval()
    assert encoder.dim == whole.config.hidden_size
    text = "the boat left the harbour"
    read = encoder.read(text.split())
    (vector,) = read.vectors(np.array([0]), np.array([5]))
    ids = Tokenizer.from_file(str(tiny_model / "tokenizer.json")).encode(text).ids
    half = (whole.config.num_hidden_layers + 1) // 2
    with torch.inference_mode():
        states = whole(torch.tensor([ids]), output_hidden_states=True).hidden_states[half]
        meant = (states if half == whole.config.num_hidden_layers else whole.norm(states))[0].mean(0).numpy()
    assert np.allclose(vector, meant / np.linalg.norm(meant), atol=1e-5)
    assert np.isclose(np.linalg.norm(vector), 1)
    assert encoder.fingerprint != load_encoder("wordllama").fingerprint
    assert read.vectors(np.array([4]), np.array([5])).shape == (1, encoder.dim)


def test_minilm() -> None:
    if importlib.util.find_spec("onnxruntime") is None or not folder_of("minilm").is_dir():
        pytest.skip("needs onnxruntime and the files of `lethe models fetch minilm`")
    encoder = load_encoder(f"minilm:{folder_of('minilm')}")
    assert encoder.dim == 384
    assert encoder.fingerprint.startswith("minilm ")
    assert {"river", "harbour"} <= encoder.vocabulary
    text = "the boat left the harbour a ship sailed from port bake the bread slowly"
    words = text.split()
    read = encoder.read(words)
    assert (read.tokens >= 1).all()
    boat, ship, bread = read.vectors(np.array([0, 5, 10]), np.array([5, 10, 14]))
    assert np.isclose(np.linalg.norm(boat), 1)
    assert boat @ ship > boat @ bread + 0.2
    together = encoder.read(words[:5]).vectors(np.array([0]), np.array([5]))[0]
    assert together @ boat > 1 - 1e-6  # whatever else is read at the same time
