import torch
from torch import Tensor
from torch.nn import functional

from core.modeling.adapter import LowRankPair

# Up to this many rows or columns the full SVD is affordable; above, a randomised one with oversampling takes over.
EXACT_SVD_LIMIT = 4096
OVERSAMPLING = 8
POWER_ITERATIONS = 4
# Rows that no forget example moves have weight near zero, and dividing by it would blow up rounding noise.
ROW_WEIGHT_FLOOR = 1e-3


def fila(
    weight: Tensor, *, row_importance: Tensor, rank: int, scaling: float, balanced: bool
) -> tuple[LowRankPair, LowRankPair]:
    """Return the pair whose scaled product is the best row-weighted rank-r approximation of the weight, twice.

    FILA minimises ``||diag(d) (W - s B A)||_F`` with ``d_i`` the root of the importance of output row ``i``: it puts
    that part of the weight into the adapter which the forget set uses most, relative to the retain set. The second pair
    is the anchor that takes the product back, so that the model starts as the base model.

    Args:
        weight: ``W``, (out, in), any float dtype.
        row_importance: (out,), non-negative.
        rank: r.
        scaling: ``s = lora_alpha / r``, positive.
        balanced: share each component's norm evenly between ``a`` and ``b``. As published, the scale of the importance,
            which the product does not depend on, decides how it is shared, and so how fast each factor learns.

    Returns:
        Initial pair and anchor, equal, float32, with ``a`` (r, in) and ``b`` (out, r) also where the weight has a lower
        rank: one rank for all layers is what export and checkpoints rest on, so the rest is zero.

    References:
        Cha et al., ICLR 2025, section 4.2. Deviations: an accurate SVD instead of a randomised one without
        oversampling; row weights are floored at a share of the median of the positive ones instead of shifted by 1e-5;
        the base weight is not replaced.
    """
    d = row_importance.float().sqrt()  # (out,)
    moved = d[d > 0]  # most rows may have none, so the median of all could be zero
    d = d.clamp_min(ROW_WEIGHT_FLOOR * float(moved.median()) if len(moved) else 1.0)
    u, s, v = _svd(d.unsqueeze(1) * weight.float(), rank)  # (out, k), (k,), (in, k), k = min(r, out, in)
    root = (s / scaling).sqrt()
    missing = rank - len(s)
    a = functional.pad(root.unsqueeze(1) * v.T, (0, 0, 0, missing))  # (r, in)
    b = functional.pad((u * root) / d.unsqueeze(1), (0, missing))  # (out, r)
    if balanced:
        a, b = _balanced(a, b)
    pair = LowRankPair(a=a.contiguous(), b=b.contiguous())
    return pair, pair


def _balanced(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return factors with the same product whose components, a row of ``a`` and a column of ``b``, have equal norms."""
    of_a, of_b = a.norm(dim=1), b.norm(dim=0)
    share = torch.where((of_a > 0) & (of_b > 0), (of_b / of_a).sqrt(), 1.0)
    return a * share.unsqueeze(1), b / share


def _svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    if max(matrix.shape) <= EXACT_SVD_LIMIT:
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        return u[:, :rank], s[:rank], vh[:rank].T
    width = min(rank + OVERSAMPLING, *matrix.shape)
    u, s, v = torch.svd_lowrank(matrix, q=width, niter=POWER_ITERATIONS)
    return u[:, :rank], s[:rank], v[:, :rank]
