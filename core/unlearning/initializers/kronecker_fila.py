import torch
from torch import Tensor

from core.modeling.adapter import LowRankPair
from core.unlearning.initializers.lora import plain_lora

_ROUNDING = 1e-6  # eigenvalues below this share of the largest are what float32 moments leave of zero


def kronecker_fila(
    weight: Tensor,
    *,
    forget_inputs: Tensor,
    retain_inputs: Tensor,
    epsilon: float,
    rank: int,
    generator: torch.Generator,
) -> tuple[LowRankPair, LowRankPair]:
    """Return the pair that reads the inputs which forget texts have and retain texts have not, twice.

    FILA weighs entries by their Fisher information on the forget set relative to the retain set, and must share the
    weights along rows to be solved. In the Kronecker factorisation of the Fisher information, ``E[x x^T]`` of a layer's
    inputs times ``E[g g^T]`` of its outputs' gradients, the input factor can be used in full: the directions ``u`` with
    the largest ratio of ``u^T C_f u`` to ``u^T (C_r + epsilon I) u`` are generalised eigenvectors. ``A0`` is an
    orthonormal basis of the leading ones and ``B0 = W A0^T``, so every update of ``B`` acts on those inputs alone. The
    second pair is the anchor.

    Args:
        weight: ``W``, (out, in), any float dtype.
        forget_inputs: ``C_f``, the second moment of the layer's inputs over forget tokens, (in, in).
        retain_inputs: ``C_r``, the same over retain tokens.
        epsilon: keeps directions that no retain token has from dividing by zero; positive.
        rank: r.
        generator: as in ``plain_lora``.

    Returns:
        Initial pair and anchor, equal, float32, ``a`` (r, in) and ``b`` (out, r). There are no more directions than
        forget texts span; what is missing to the rank is plain LoRA, for a pair of zeros would never move.

    References:
        Cha et al., ICLR 2025, section 4.2 (relative Fisher information); Martens and Grosse, ICML 2015,
        https://arxiv.org/abs/1503.05671 (the factorisation). Their combination is ours.
    """
    denominator = retain_inputs.double().clone()
    denominator.diagonal().add_(epsilon)
    lower = torch.linalg.cholesky(denominator)
    half = torch.linalg.solve_triangular(lower, forget_inputs.double(), upper=False)
    whitened = torch.linalg.solve_triangular(lower, half.T.contiguous(), upper=False)
    values, vectors = torch.linalg.eigh((whitened + whitened.T) / 2)  # ascending
    num_found = min(rank, int((values > _ROUNDING * values[-1]).sum()))
    leading = vectors.flip(1)[:, :num_found]
    directions = torch.linalg.solve_triangular(lower.T.contiguous(), leading, upper=True)  # (in, q)
    a = torch.linalg.qr(directions)[0].T.float()  # (q, in)
    b = weight.float() @ a.T  # (out, q)
    rest, _ = plain_lora(weight, rank=rank - num_found, generator=generator)
    pair = LowRankPair(a=torch.cat([a, rest.a]), b=torch.cat([b, rest.b], dim=1))
    return pair, pair
