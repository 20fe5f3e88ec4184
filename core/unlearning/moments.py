from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from core.data.batches import batches_by_length
from core.data.collate import collate
from core.data.corpus import Example
from core.domain.errors import UnsupportedBaseModelError
from core.modeling.adapter import Linear, weight_of
from core.modeling.base_model import BaseModel
from core.modeling.scoring import backbone_hidden

_BATCH_TOKENS = 4096
# The moments of a large base model may take more than its weights; that many bytes are on the device at once.
MAX_BYTES = 4 << 30
_TOKENS = "tokens"  # beside the matrices in a stored payload; no module has this name


@dataclass(frozen=True)
class Moments:
    """What layers read on some texts: ``E[k k^T]`` over all their tokens, uncentred."""

    by_layer: dict[str, Tensor]  # (in, in) each, float32, on the CPU: one is needed at a time
    tokens: int

    def dump(self) -> bytes:
        """Return the matrices as a safetensors payload."""
        return save(self.by_layer | {_TOKENS: torch.tensor(self.tokens)})

    @classmethod
    def parse(cls, payload: bytes) -> "Moments":
        """Return what :meth:`dump` stored."""
        tensors = load(payload)
        return cls(tokens=int(tensors.pop(_TOKENS)), by_layer=tensors)


@torch.no_grad()
def measure_moments(base: BaseModel, layers: Mapping[str, Linear], examples: Sequence[Example]) -> Moments:
    """Return the moments of the base model over the examples. Forward passes only; padding is in no sum.

    Raises:
        UnsupportedBaseModelError: a layer's inputs cannot be told apart by token.
    """
    tokens = sum(len(example.tokens) for example in examples)
    moments: dict[str, Tensor] = {}
    for some in _passes(layers):
        sums = {name: torch.zeros(_width(layer), _width(layer), device=base.device) for name, layer in some.items()}
        for places in batches_by_length(examples, max_batch_tokens=_BATCH_TOKENS):
            batch = collate([examples[place] for place in places], pad_id=base.pad_id).to(base.device)
            with _summed(some, batch.attention_mask, sums):
                backbone_hidden(base.model, batch.input_ids, batch.attention_mask)
        moments |= {name: (total / tokens).cpu() for name, total in sums.items()}
    return Moments(moments, tokens)


def shrunk(moment: Tensor, *, tokens: int) -> Tensor:
    """Return the moment moved towards a multiple of the identity, float64 and positive definite; the trace stays.

    The closed form pays for what it writes by this matrix alone, so directions that happen to be absent from a sample
    would be free, and with fewer tokens than the layer is wide there are many. How far to move is the oracle
    approximating shrinkage: little when tokens are many against the directions in use.

    Args:
        moment: ``E[k k^T]``, (in, in).
        tokens: how many it is a mean of.

    References:
        Chen, Wiesel, Eldar and Hero, 2010, https://arxiv.org/abs/0907.4698, equation 23. The published code of LAW
        takes a hundred thousand articles and no shrinkage.
    """
    matrix = moment.to(torch.float64, copy=True)
    width = len(matrix)
    trace, squares = float(matrix.trace()), float(matrix.square().sum())
    spread = (tokens + 1 - 2 / width) * (squares - trace**2 / width)
    share = min(1.0, ((1 - 2 / width) * squares + trace**2) / spread) if spread > 0 else 1.0
    matrix.mul_(1 - share).diagonal().add_(share * trace / width)  # in place: it may be a gigabyte
    return matrix


def _passes(layers: Mapping[str, Linear]) -> list[dict[str, Linear]]:
    """Return the layers in groups whose moments fit on the device together. One group needs one pass over the texts."""
    groups: list[dict[str, Linear]] = []
    used = MAX_BYTES
    for name, layer in layers.items():
        size = 4 * _width(layer) ** 2
        if used + size > MAX_BYTES:
            groups.append({})
            used = 0
        groups[-1][name] = layer
        used += size
    return groups


def _width(layer: Linear) -> int:
    return weight_of(layer).shape[1]


@contextmanager
def _summed(layers: Mapping[str, Linear], mask: Tensor, sums: dict[str, Tensor]) -> Iterator[None]:
    """Within, each forward pass adds ``k k^T`` of what its layers read."""
    handles = []
    for name, layer in layers.items():

        def add(_module: nn.Module, inputs: tuple[Tensor, ...], *, name: str = name) -> None:
            read = _by_token(name, inputs[0], mask)
            sums[name].addmm_(read.T, read)

        handles.append(layer.register_forward_pre_hook(add))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _by_token(name: str, inputs: Tensor, mask: Tensor) -> Tensor:
    """Return the inputs of all tokens but padding, (tokens, in) float32. OPT flattens its batch to (B T, in)."""
    if inputs.shape[:-1] not in (mask.shape, (mask.numel(),)):
        raise UnsupportedBaseModelError(
            f"layer {name} is not run on every token of every example, so its inputs cannot be averaged: "
            "leave it out of target_modules"
        )
    return inputs.reshape(*mask.shape, -1)[mask.bool()].float()
