"""GGUF files -> folders as transformers reads them. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done so far, total); a total of 0 means that the total is not known."""


class ConversionError(ValueError):
    """A model that cannot be converted; the text says which and why."""


PARTS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def convert(source: Path, folder: Path, progress: Progress = lambda what, done, total: None) -> None:
    """Write a llama-architecture GGUF file with a GPT-2 tokenizer as a Hugging Face folder in float32.

    Raises `ConversionError` for any other architecture or tokenizer, and ImportError without the `gguf` package.
    """
    import gguf  # noqa: PLC0415 - optional: only whoever converts needs it

    reader = gguf.GGUFReader(source)
    meta = {key: field.contents() for key, field in reader.fields.items()}
    kind = (meta["general.architecture"], meta["tokenizer.ggml.model"], meta.get("tokenizer.ggml.pre"))
    if kind != ("llama", "gpt2", "smollm"):
        raise ConversionError(f"{source.name}: architecture, tokenizer and splitter {kind} cannot be converted")
    folder.mkdir(parents=True)
    weights = dict(_tensors(reader.tensors, meta, gguf.quants.dequantize, progress))
    progress("writing", 0, 0)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes 0600, but an engine may run as another user
    special = {key: meta.get(f"tokenizer.ggml.{name}_token_id") for key, name in SPECIAL.items()}
    config = _config(meta, special, tied="lm_head.weight" not in weights)
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", {f"{k}_token_id": special[k] for k in ("bos", "eos", "pad")})
    _write_tokenizer(folder, meta, special)


SPECIAL = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def _tensors(
    tensors: list[Any], meta: dict[str, Any], dequantize: Callable[..., Any], progress: Progress
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    heads = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
    whole = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    for done, tensor in enumerate(tensors, 1):
        progress("converting", done, len(tensors))
        if tensor.name == "rope_freqs.weight":
            continue
        shape = tuple(int(size) for size in reversed(tensor.shape))
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        name = whole.get(tensor.name)
        if name is None:
            _, layer, part, _ = tensor.name.split(".")
            name = f"model.layers.{layer}.{PARTS[part]}.weight"
            if part in heads:  # llama.cpp interleaves the two halves of each rotary head; undo it
                pairs = values.reshape(heads[part], shape[0] // heads[part] // 2, 2, *shape[1:])
                values = pairs.swapaxes(1, 2).reshape(shape)
        yield name, np.ascontiguousarray(values)


def _config(meta: dict[str, Any], special: dict[str, int | None], *, tied: bool) -> dict[str, Any]:
    theta = meta.get("llama.rope.freq_base", 10000.0)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(meta["tokenizer.ggml.tokens"]),
        "hidden_size": meta["llama.embedding_length"],
        "intermediate_size": meta["llama.feed_forward_length"],
        "num_hidden_layers": meta["llama.block_count"],
        "num_attention_heads": meta["llama.attention.head_count"],
        "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "max_position_embeddings": meta["llama.context_length"],
        "rms_norm_eps": round(meta["llama.attention.layer_norm_rms_epsilon"], 9),  # stored as float32
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        **{f"{key}_token_id": special[key] for key in ("bos", "eos", "pad")},
        "dtype": "float32",
        "use_cache": True,
    }


def _write_tokenizer(folder: Path, meta: dict[str, Any], special: dict[str, int | None]) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415 - as gguf

    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ", 1)) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    digits, pieces = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pieces])
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == 3]  # llama.cpp: CONTROL
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{f"{key}_token": None if index is None else tokens[index] for key, index in special.items()},
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": meta["llama.context_length"],
        "chat_template": meta["tokenizer.chat_template"],
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
