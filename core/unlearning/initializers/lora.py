import math

import torch
from torch import Tensor

from core.modeling.adapter import LowRankPair


def plain_lora(weight: Tensor, *, rank: int, generator: torch.Generator) -> tuple[LowRankPair, LowRankPair]:
    """Return an initial pair whose product is zero, and an anchor of zeros.

    ``A`` is uniform as in PEFT's default (Kaiming with a = sqrt(5), so the bound is 1 / sqrt(in)), ``B`` is zero.

    Args:
        weight: (out, in) of the layer.
        rank: r.
        generator: on the CPU, so that the draw is the same on every device.

    References:
        Hu et al., LoRA, ICLR 2022, https://arxiv.org/abs/2106.09685.
    """
    rows, columns = weight.shape
    bound = 1 / math.sqrt(columns)
    a = torch.empty(rank, columns).uniform_(-bound, bound, generator=generator).to(weight.device)
    zero_a, zero_b = torch.zeros_like(a), torch.zeros(rows, rank, device=weight.device)
    return LowRankPair(a=a, b=zero_b), LowRankPair(a=zero_a, b=zero_b)
