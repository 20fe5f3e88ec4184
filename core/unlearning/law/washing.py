import torch
from torch import Tensor

from core.unlearning.law.closed_form import LowRankEdit, Whitening

# By how much a step lengthens what is written along the strongest direction of the keys.
_RATE = 0.01


def wash(initial: LowRankEdit, keys: Tensor, whitening: Whitening, *, beta_ratio: float, steps: int) -> LowRankEdit:
    """Return the edit after maximising ``||D K||^2`` under ``tr(D C D^T) <= beta_ratio * tr(D0 C D0^T)``.

    Projected gradient ascent from ``D0``, in the whitened coordinates. There the constraint is a ball, so the radial
    projection, ``D <- D * sqrt(limit / tr(D C D^T))``, is the exact one. A step ``D <- D + eta D K K^T`` multiplies
    what the edit does along each singular direction of the keys by ``1 + eta s^2``, and a projection scales all of it,
    so any number of steps is one power and one scale; a test compares with the loop.

    Args:
        initial: ``D0``, from the closed form.
        keys: ``K``, (in, n), of the facts.
        whitening: for ``C``.
        beta_ratio: how much more disturbance is allowed than the closed form makes.
        steps: of ascent. Few: the maximum itself spends everything on the one direction that costs least.

    References:
        Wang et al., ICLR 2025, https://arxiv.org/abs/2405.16720. Deviations: plain ascent instead of Adam, whose
        steps fill the whole matrix while this keeps the rank at the number of facts; in the metric of ``C`` instead of
        that of the entries, in which the radial projection would not be one and can undo the gain of its step.
    """
    u, s, _ = torch.linalg.svd(whitening.inputs(keys), full_matrices=False)  # (in, q), (q,)
    rows = whitening.rows(initial.right)  # (p, in)
    along = rows @ u  # (p, q)
    strength = (initial.left @ along).square().sum(dim=0)  # (q,) of the edit along each direction
    growth = (1 + _RATE * (s / s.max().clamp(min=1e-300)).square()) ** steps  # (q,)
    before = LowRankEdit(initial.left, rows).norm ** 2
    after = before + float(((growth.square() - 1) * strength).sum())
    limit = beta_ratio * before
    shrink = (limit / after) ** 0.5 if after > limit else 1.0
    grown = initial.right + whitening.rows_back((along * (growth - 1)) @ u.T)
    return LowRankEdit(initial.left, shrink * grown)
