import torch
from torch import Tensor

from core.modeling.adapter import LowRankPair
from core.unlearning.initializers.fila import fila


def pissa(weight: Tensor, *, rank: int, scaling: float) -> tuple[LowRankPair, LowRankPair]:
    """Return the best rank-r approximation of the weight as a pair, twice: principal directions, whatever the data.

    What FILA is when every output row matters alike. Shapes as there.

    References:
        Meng et al., PiSSA, NeurIPS 2024, https://arxiv.org/abs/2404.02948.
    """
    equal = torch.ones(len(weight), device=weight.device)
    return fila(weight, row_importance=equal, rank=rank, scaling=scaling, balanced=True)
