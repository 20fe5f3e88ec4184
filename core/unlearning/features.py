from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from core.data.batches import batches_by_length
from core.data.collate import collate
from core.data.corpus import Example
from core.domain.errors import UnsupportedBaseModelError
from core.modeling.adapter import Linear, weight_of
from core.modeling.base_model import BaseModel
from core.modeling.scoring import backbone_hidden

_BATCH_TOKENS = 4096
_ROUNDING = 1e-6  # singular values below this share of the largest are what float32 sums leave of zero


@torch.no_grad()
def output_features(base: BaseModel, layers: Mapping[str, Linear], examples: Sequence[Example]) -> dict[str, Tensor]:
    """Return for each layer the sum of its outputs over the tokens of each example, (n, out) float32.

    Forward passes only. Padding is in no sum; the published code of ReGLU adds it in.

    Raises:
        UnsupportedBaseModelError: a layer's outputs cannot be told apart by example.
    """
    features = {name: torch.zeros(len(examples), _width(layer), device=base.device) for name, layer in layers.items()}
    for places in batches_by_length(examples, max_batch_tokens=_BATCH_TOKENS):
        batch = collate([examples[place] for place in places], pad_id=base.pad_id).to(base.device)
        with _summed(layers, batch.attention_mask, places, features):
            backbone_hidden(base.model, batch.input_ids, batch.attention_mask)
    return features


def leading_directions(features: Tensor, *, count: int) -> Tensor:
    """Return the leading eigenvectors of ``E[h h^T]``, orthonormal, (out, k) with ``k <= count``.

    Args:
        features: ``h`` of each example, (n, out). Directions that no example has are not among them.
        count: how many at most.
    """
    _, s, vh = torch.linalg.svd(features.double(), full_matrices=False)
    kept = int((s > s[0] * _ROUNDING).sum()) if len(s) else 0
    directions: Tensor = vh[: min(count, kept)].T.float().contiguous()
    return directions


@contextmanager
def _summed(
    layers: Mapping[str, Linear], mask: Tensor, places: Sequence[int], features: dict[str, Tensor]
) -> Iterator[None]:
    """Within, each forward pass adds its layers' summed outputs to the rows of these places."""
    handles = []
    for name, layer in layers.items():

        def keep(_module: nn.Module, _inputs: object, output: Tensor, *, name: str = name) -> None:
            outputs = _by_token(name, output, mask).float()  # (B, T, out)
            features[name][list(places)] += (outputs * mask.unsqueeze(-1)).sum(dim=1)

        handles.append(layer.register_forward_hook(keep))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _by_token(name: str, output: Tensor, mask: Tensor) -> Tensor:
    """Return the outputs as (B, T, out). OPT flattens its batch to (B T, out) within a layer."""
    if output.shape[:-1] not in (mask.shape, (mask.numel(),)):
        raise UnsupportedBaseModelError(
            f"layer {name} is not run on every token of every example, so its outputs cannot be summed by example: "
            "leave it out of target_modules"
        )
    return output.reshape(*mask.shape, output.shape[-1])


def _width(layer: Linear) -> int:
    return len(weight_of(layer))
