import torch
from torch import Tensor
from torch.nn import functional

from core.modeling.adapter import LowRankPair
from core.unlearning.law.closed_form import LowRankEdit


def truncated(edit: LowRankEdit, keys: Tensor, *, rank: int) -> tuple[LowRankEdit, float]:
    """Return the edit with at most this rank, and the share of its effect on the keys that is lost.

    What counts is ``D K``, not ``D``: the output directions in which most of the effect lies are kept. Of all edits of
    the rank that one loses the least of it, ``||D K - D' K||_F``, and it disturbs no kept input more than before. An
    edit that has the rank already is only put into well-conditioned factors.
    """
    if edit.left.shape[1] <= rank:
        directions, _ = torch.linalg.qr(edit.left)  # (out, q)
        lost = 0.0
    else:
        u, s, _ = torch.linalg.svd(edit.of(keys.double()), full_matrices=False)
        directions = u[:, :rank]
        lost = float(s[rank:].norm() / s.norm()) if s.norm() > 0 else 0.0
    return LowRankEdit(directions, (directions.T @ edit.left) @ edit.right), lost


def anchored_pairs(edit: LowRankEdit, *, rank: int) -> tuple[LowRankPair, LowRankPair]:
    """Return pair and anchor whose difference is the edit, at scaling 1.

    An adapter computes ``B A - B0 A0`` and exports rank 2r, so the first r directions go into the pair and the others,
    negated, into the anchor.

    Args:
        edit: of rank 2r at most.
        rank: r.
    """
    missing = 2 * rank - edit.left.shape[1]
    b = functional.pad(edit.left, (0, missing)).float()  # (out, 2r)
    a = functional.pad(edit.right, (0, 0, 0, missing)).float()  # (2r, in)
    return (
        LowRankPair(a=a[:rank].contiguous(), b=b[:, :rank].contiguous()),
        LowRankPair(a=a[rank:].contiguous(), b=-b[:, rank:].contiguous()),
    )
