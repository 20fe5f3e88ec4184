"""The trained difference as an ordinary PEFT LoRA on the untouched base model."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from core.modeling.adapter import Adapter, AnchoredLinear, LowRankPair


@dataclass(frozen=True)
class PortableLora:
    """One rank-2r pair for each target module, as PEFT names them."""

    pairs: dict[str, LowRankPair]
    rank: int
    scaling: float
    target_modules: list[str]
    fan_in_fan_out: bool


def to_portable(adapter: Adapter) -> PortableLora:
    """Return the adapter as pairs with ``B' A' = B A - B0 A0`` and the same scaling.

    ``[B | -B0] [A; A0]`` has rank 2r already, but its two halves nearly cancel: a server that casts the factors to half
    precision would round away much of what was learned. The product is therefore refactored by QR and SVD in float64
    into balanced factors of the same rank, which are exact to float32 and lose only relative precision when cast.
    """
    pairs = {name: _balanced(layer) for name, layer in adapter.layers.items()}
    layers = list(adapter.layers.values())
    return PortableLora(
        pairs=pairs,
        rank=2 * layers[0].a.shape[0],
        scaling=layers[0].scaling,
        target_modules=_target_modules(adapter),
        fan_in_fan_out=any(isinstance(layer.base, Conv1D) for layer in layers),
    )


def _target_modules(adapter: Adapter) -> list[str]:
    """Return the last components of the layers' names, or the full names where those would select more in PEFT."""
    leaves = {name.rsplit(".", 1)[-1] for name in adapter.layers}
    inner = tuple(f"{name}." for name in adapter.layers)  # the base layers that the anchored ones hold
    selected = {
        name
        for name, _ in adapter.model.named_modules()
        if name.rsplit(".", 1)[-1] in leaves and not name.startswith(inner)
    }
    return sorted(leaves if selected == set(adapter.layers) else adapter.layers)


@torch.no_grad()
def _balanced(layer: AnchoredLinear) -> LowRankPair:
    up = torch.cat([layer.b, -layer.anchor_b], dim=1).double().cpu()  # (out, 2r)
    down = torch.cat([layer.a, layer.anchor_a]).double().cpu()  # (2r, in)
    rank = len(down)
    up_q, up_r = torch.linalg.qr(up)  # (out, q), (q, 2r)
    down_q, down_r = torch.linalg.qr(down.T)  # (in, p), (p, 2r)
    u, s, vh = torch.linalg.svd(up_r @ down_r.T, full_matrices=False)  # (q, k), (k,), (k, p)
    root = s.sqrt()
    b = up_q @ (u * root)  # (out, k)
    a = (root.unsqueeze(1) * vh) @ down_q.T  # (k, in)
    return LowRankPair(a=_padded(a, rows=rank).float(), b=_padded(b.T, rows=rank).T.contiguous().float())


def _padded(matrix: Tensor, *, rows: int) -> Tensor:
    """Return the matrix with zero rows appended: a layer narrower than 2r still gets the one rank of the package."""
    return torch.cat([matrix, matrix.new_zeros(rows - len(matrix), matrix.shape[1])])


def write_peft(lora: PortableLora, directory: Path, *, base_model: str, revision: str | None) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, in the profile that servers load.

    LoRA only: no bias, no DoRA, no rsLoRA, no patterns, no ``modules_to_save``, one rank, safetensors.
    """
    tensors = {}
    for name, pair in lora.pairs.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = pair.a.contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = pair.b.contiguous()
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    config = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=base_model,
        revision=revision,
        r=lora.rank,
        lora_alpha=_alpha(lora),
        target_modules=lora.target_modules,
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=lora.fan_in_fan_out,
        inference_mode=True,
    ).to_dict()
    config["target_modules"] = sorted(config["target_modules"])  # a set in PEFT: sorted, the bytes are reproducible
    (directory / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True, default=str) + "\n")


def _alpha(lora: PortableLora) -> float | int:
    alpha = lora.scaling * lora.rank
    return int(alpha) if alpha == int(alpha) else alpha
