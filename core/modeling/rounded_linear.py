from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.modeling.adapter import AnchoredLinear, Linear, weight_of

# The 16 levels of NF4: quantiles of a normal distribution, scaled to [-1, 1], zero among them. A published constant:
# Dettmers et al., QLoRA, NeurIPS 2023, https://arxiv.org/abs/2305.14314, appendix E.
NF4_LEVELS = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
NF4_BLOCK = 64  # weights that share a scale


def int8(weight: Tensor) -> Tensor:
    """Return the weight (out, in) rounded to 255 even steps for each output channel, float32.

    The largest magnitude of a channel is 127 steps. Only weights are rounded; LLM.int8 rounds what they are
    multiplied with as well, and leaves outlying features out of it.

    References:
        Dettmers et al., LLM.int8(), NeurIPS 2022, https://arxiv.org/abs/2208.07339.
    """
    exact = weight.float()
    step = exact.abs().amax(dim=1, keepdim=True) / 127  # (out, 1)
    return (exact / _divisible(step)).round() * step


def nf4(weight: Tensor) -> Tensor:
    """Return the weight (out, in) rounded to NF4 with a scale for each block of 64, float32.

    A block is a stretch of the weight in row-major order, the last one may be shorter. Its scale is its largest
    magnitude, kept in float32: QLoRA may round the scales as well, which changes weights by less than rounding does.

    References:
        Dettmers et al., QLoRA, NeurIPS 2023, https://arxiv.org/abs/2305.14314.
    """
    blocks = _blocks(weight)
    scale = blocks.abs().amax(dim=1, keepdim=True)  # (blocks, 1)
    levels = torch.tensor(NF4_LEVELS, device=weight.device)
    nearest = torch.bucketize(blocks / _divisible(scale), (levels[1:] + levels[:-1]) / 2, out_int32=True)
    return (levels[nearest] * scale).flatten()[: weight.numel()].view(weight.shape)


def nf4_step(weight: Tensor) -> Tensor:
    """Return for each weight (out, in) the distance between two levels of its block, float32.

    NF4's levels are denser around zero; this is their mean distance, 2/15 of the block's scale.
    """
    blocks = _blocks(weight)
    step = blocks.abs().amax(dim=1, keepdim=True) * (2 / (len(NF4_LEVELS) - 1))
    return step.expand_as(blocks).flatten()[: weight.numel()].view(weight.shape)


def added_weight(layer: AnchoredLinear) -> Tensor:
    """Return what the adapter adds to a layer's weight, (out, in) float32."""
    up = torch.cat([layer.b, -layer.anchor_b], dim=1).detach()  # (out, 2r)
    down = torch.cat([layer.a, layer.anchor_a]).detach()  # (2r, in)
    return layer.scaling * (up @ down)


def merged_weight(layer: Linear | AnchoredLinear) -> Tensor:
    """Return the weight (out, in) with the adapter added, in the dtype of the base, as a server that merges has it."""
    if not isinstance(layer, AnchoredLinear):
        return weight_of(layer)
    weight = weight_of(layer.base)
    return (weight + added_weight(layer)).to(weight.dtype)


class RoundedLinear(nn.Module):
    """A layer that computes with its weight rounded, an adapter merged into it first if it has one.

    The rounded weight is made anew at each call, as a kernel does, so that nothing is written and nothing is kept:
    results are those of a kernel but for the order of its sums.
    """

    def __init__(self, layer: Linear | AnchoredLinear, rounded: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = layer
        self.rounded = rounded

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out) for ``x`` of shape (..., in)."""
        base = self.layer.base if isinstance(self.layer, AnchoredLinear) else self.layer
        weight = merged_weight(self.layer)
        return functional.linear(x, self.rounded(weight).to(weight.dtype), base.bias)


def _blocks(weight: Tensor) -> Tensor:
    """Return the weight as blocks (blocks, 64), float32, the last one filled up with zeros."""
    flat = weight.float().flatten()
    return functional.pad(flat, (0, -len(flat) % NF4_BLOCK)).view(-1, NF4_BLOCK)


def _divisible(scale: Tensor) -> Tensor:
    """Return the scales with 1 for 0: where everything is zero, it stays so."""
    return torch.where(scale == 0, torch.ones_like(scale), scale)
