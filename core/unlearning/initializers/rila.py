import torch
from torch import Tensor

from core.modeling.adapter import LowRankPair
from core.unlearning.initializers.lora import plain_lora

_ROUNDING = 1e-10  # eigenvalues below this share of the largest are what float32 features leave of zero


def rila(
    weight: Tensor,
    *,
    forget_features: Tensor,
    retain_features: Tensor,
    rank: int,
    beta: float,
    generator: torch.Generator,
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
        generator: as in ``plain_lora``.

    Returns:
        Initial pair and anchor, equal, float32, ``a`` (r, in) and ``b`` (out, r). There are no more positive
        eigenvalues than forget examples, and directions without one separate nothing; what is missing to the rank is
        plain LoRA, for a pair of zeros would never move.

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
    num_positive = int((values > _ROUNDING * values.abs().max()).sum())
    b = (span @ vectors.flip(1)[:, : min(rank, num_positive)]).float()  # (out, q)
    a = b.T @ weight.float()  # (q, in)
    rest, _ = plain_lora(weight, rank=rank - b.shape[1], generator=generator)
    pair = LowRankPair(a=torch.cat([a, rest.a]), b=torch.cat([b, rest.b], dim=1))
    return pair, pair
