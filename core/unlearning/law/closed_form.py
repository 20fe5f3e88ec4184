import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

_SMALLEST = 1 / 3  # edit, as a share of the weight, that the published search accepts; its largest is 3/4
_HALVINGS = 60
_LEAST, _MOST = 1e-3, 1e9  # of the number of facts: below, nothing is left to fit; above, the edit is nothing


@dataclass(frozen=True)
class LowRankEdit:
    """A change of a weight, ``left @ right``, float64. Its rank is at most the number of facts."""

    left: Tensor  # (out, q)
    right: Tensor  # (q, in)

    @property
    def norm(self) -> float:
        """Frobenius norm of the product."""
        return float(((self.left.T @ self.left) * (self.right @ self.right.T)).sum().clamp(min=0).sqrt())

    def of(self, keys: Tensor) -> Tensor:
        """Return what the edit adds to the outputs for these inputs, (out, n) for (in, n)."""
        return self.left @ (self.right @ keys)


@dataclass(frozen=True)
class Whitening:
    """Coordinates in which the inputs that are to be kept have the identity as second moment.

    With ``C = L L^T`` an input becomes ``L^-1 k`` and an edit ``D L``, so ``tr(D C D^T)``, the mean square of what the
    edit adds to kept inputs, is the squared Frobenius norm of the edit.
    """

    factor: Tensor  # L, (in, in), lower triangular, float64

    @classmethod
    def of(cls, moment: Tensor) -> Self:
        """Return the coordinates for ``C``, (in, in), positive definite."""
        factor: Tensor = torch.linalg.cholesky(moment.double())
        return cls(factor)

    def inputs(self, keys: Tensor) -> Tensor:
        """Return ``L^-1 K`` for (in, n)."""
        white: Tensor = torch.linalg.solve_triangular(self.factor, keys.double(), upper=False)
        return white

    def rows(self, right: Tensor) -> Tensor:
        """Return ``right L``: the right factor of an edit in these coordinates, (q, in)."""
        return right @ self.factor

    def rows_back(self, right: Tensor) -> Tensor:
        """Return ``right L^-1``: the inverse of :meth:`rows`."""
        back: Tensor = torch.linalg.solve_triangular(self.factor, right, upper=False, left=False)
        return back

    def disturbance(self, edit: LowRankEdit) -> float:
        """Return ``tr(D C D^T)``."""
        return LowRankEdit(edit.left, self.rows(edit.right)).norm ** 2


def closed_form(
    residual: Tensor, keys: Tensor, whitening: Whitening, *, weight_norm: float, norm_limit: float
) -> LowRankEdit:
    """Return the edit that writes the residuals at the keys and little elsewhere: ``R K^T (lambda C + K K^T)^-1``.

    In whitened coordinates it is ridge regression, and with the singular values ``s`` of the whitened keys each
    direction is filtered by ``s / (lambda + s^2)``; so one decomposition serves every lambda of the search, and
    nothing as large as the weight is inverted.

    Args:
        residual: ``R``, (out, n), what is missing from the hidden states of the facts.
        keys: ``K``, (in, n).
        whitening: for ``C``.
        weight_norm: Frobenius norm of the weight; lambda is chosen by it.
        norm_limit: how large the edit may be, as a share of it.

    References:
        Meng et al., ICLR 2023, https://arxiv.org/abs/2210.07229, equation 14; Wang et al., ICLR 2025,
        https://arxiv.org/abs/2405.16720, for the search.
    """
    u, s, vh = torch.linalg.svd(whitening.inputs(keys), full_matrices=False)  # (in, q), (q,), (q, n)
    left = residual.double() @ vh.T  # (out, q)
    right = whitening.rows_back(u.T)  # (q, in)
    overlap = (left.T @ left) * (right @ right.T)  # (q, q)

    def relative_norm(ridge: float) -> float:
        kept = s / (ridge + s.square())
        return float((kept @ overlap @ kept).clamp(min=0).sqrt()) / weight_norm

    ridge = find_ridge(relative_norm, start=keys.shape[1], limit=norm_limit)
    return LowRankEdit(left * (s / (ridge + s.square())), right)


def find_ridge(relative_norm: Callable[[float], float], *, start: float, limit: float) -> float:
    """Return a lambda under which the edit is between a third of the weight and the limit, or the nearest to that.

    The published search starts at 20,000 for 21,000 facts, which gives the mean kept input the weight of all facts
    together; the start here is the number of facts. Its steps up and down can miss the window for ever; bisection
    cannot, for the norm is a continuous function that vanishes for large lambda.
    """
    least = min(_SMALLEST, limit / 2)
    if least <= relative_norm(start) <= limit:
        return start
    low, high = start * _LEAST, start * _MOST
    if relative_norm(low) < least:
        return low  # a few facts do not need more
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        size = relative_norm(middle)
        if size > limit:
            low = middle
        elif size < least:
            high = middle
        else:
            return middle
    return high
