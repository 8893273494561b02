"""Models in int8, as the `compressed-tensors` package writes them: rounded to the nearest, one scale per row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


def int8(source: Path, target: Path, *, activations: bool) -> Path:
    """Copy a folder with its projections in int8. `activations`: those are rounded too, token by token.

    Raises ImportError without `compressed-tensors`, which comes with vLLM.
    """
    from compressed_tensors.compressors import pack_to_int32  # type: ignore[import-untyped] # noqa: PLC0415 - optional

    shutil.copytree(source, target)
    tensors = {}
    for name, weight in load_file(source / "model.safetensors").items():
        if not name.endswith("_proj.weight"):
            tensors[name] = weight
            continue
        scale = weight.float().abs().amax(dim=1, keepdim=True) / 127
        rounded = (weight.float() / scale).round().clamp(-127, 127).to(torch.int8)
        stem = name.removesuffix(".weight")
        tensors[f"{stem}.weight_scale"] = scale
        if activations:
            tensors[name] = rounded
        else:
            tensors |= {
                f"{stem}.weight_packed": pack_to_int32(rounded, 8),
                f"{stem}.weight_shape": torch.tensor(weight.shape),
            }
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    integers = {"num_bits": 8, "type": "int", "symmetric": True}
    group: dict[str, Any] = {"targets": ["Linear"], "weights": {**integers, "strategy": "channel", "dynamic": False}}
    if activations:
        group["input_activations"] = {**integers, "strategy": "token", "dynamic": True}
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized" if activations else "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return target
