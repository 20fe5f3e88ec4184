import torch
from torch import Tensor
from torch.nn import functional

from core.modeling.adapter import LowRankPair


def rila(
    weight: Tensor, *, forget_features: Tensor, retain_features: Tensor, rank: int, beta: float
) -> tuple[LowRankPair, LowRankPair]:
    """Return the pair that projects the weight on the outputs which forget texts have and retain texts have not, twice.

    With ``C_f`` and ``C_r`` the uncentred covariances of a layer's summed outputs, ``B0`` holds the leading
    eigenvectors of ``(1 - beta) C_f - beta C_r`` and ``A0 = B0^T W``. The second pair is the anchor.

    The covariances are never formed: all eigenvectors with an eigenvalue other than zero lie in the span of the
    features, so an eigenproblem as large as the number of examples gives them exactly, whatever the width.

    Args:
        weight: ``W``, (out, in), any float dtype.
        forget_features: (n, out), one row an example, from ``core.unlearning.features``.
        retain_features: (m, out).
        rank: r.
        beta: weight of the retain covariance, in [0, 1].

    Returns:
        Initial pair and anchor, equal, float32, ``a`` (r, in) and ``b`` (out, r). Directions without a positive
        eigenvalue separate nothing, so there the pair is zero.

    References:
        Xiao et al., Findings of ACL 2026, https://arxiv.org/abs/2604.17396. Deviations: padding is in no feature; the
        ridge of 1e-4, which shifts all eigenvalues and no eigenvector, is left out; the base weight is not replaced.
    """
    stacked = torch.cat([forget_features, retain_features]).double()  # (n + m, out)
    signs = torch.cat(
        [
            torch.full((len(forget_features),), (1 - beta) / max(1, len(forget_features)), device=stacked.device),
            torch.full((len(retain_features),), -beta / max(1, len(retain_features)), device=stacked.device),
        ]
    ).double()
    span, _ = torch.linalg.qr(stacked.T)  # (out, k), k = min(n + m, out)
    inside = stacked @ span  # (n + m, k)
    values, vectors = torch.linalg.eigh(inside.T @ (signs.unsqueeze(1) * inside))  # ascending
    chosen = [at for at in range(len(values) - 1, -1, -1) if values[at] > 0][:rank]
    b = (span @ vectors[:, chosen]).float()  # (out, q)
    a = b.T @ weight.float()  # (q, in)
    missing = rank - len(chosen)
    pair = LowRankPair(
        a=functional.pad(a, (0, 0, 0, missing)).contiguous(), b=functional.pad(b, (0, missing)).contiguous()
    )
    return pair, pair
