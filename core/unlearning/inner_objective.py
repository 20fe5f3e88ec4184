from collections.abc import Sequence

import torch
from torch import Tensor

# A shorter gradient has no direction to speak of: its similarity fades to zero below this, instead of dividing by it.
SMALLEST_NORM = 1e-3


def inner_gradient(
    rise: Tensor,
    retain: Tensor,
    parameters: Sequence[Tensor],
    *,
    similarity_weight: float,
    differentiable: bool = False,
) -> list[Tensor]:
    """Return the gradient of OFMU's inner objective ``Phi = L_f - beta cos(grad L_f, grad L_r)``, to be climbed.

    With ``a = grad L_f``, ``b = grad L_r`` and ``c = cos(a, b)`` it is ``a - beta (H_f u + H_r w)``, where ``H_f`` and
    ``H_r`` are the Hessians and

        u = (b/|b| - c a/|a|) / |a|        w = (a/|a| - c b/|b|) / |b|

    Both Hessian-vector products come from one exact backward pass through the gradients. Central differences of plain
    gradients would need no :func:`~core.modeling.smooth_kernels.smooth_kernels`; but in bfloat16, the dtype on a GPU,
    they divide its rounding by their width.

    Args:
        rise: ``L_f``, what is increased in order to forget.
        retain: ``L_r``.
        parameters: with respect to these; one that a loss does not depend on has a gradient of zero.
        similarity_weight: ``beta``.
        differentiable: whether the result can be differentiated once more, as the outer step's penalty does.

    Returns:
        One tensor for each parameter.

    References:
        Asif and Mohammadi Amiri, 2025, https://arxiv.org/abs/2509.22483.
    """
    if not similarity_weight:
        return _gradient(rise, parameters, differentiable=differentiable)
    a = _gradient(rise, parameters, differentiable=True)
    b = _gradient(retain, parameters, differentiable=True)
    turn = _gradient(cosine(a, b), parameters, differentiable=differentiable)
    climb = [to_forget - similarity_weight * by for to_forget, by in zip(a, turn, strict=True)]
    return climb if differentiable else [tensor.detach() for tensor in climb]


def cosine(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Return the cosine of the angle between two gradients, each taken as one vector; 0 where one of them vanishes."""
    product = torch.stack([(left * right).sum() for left, right in zip(a, b, strict=True)]).sum()
    lengths = [squared_norm(gradient).clamp_min(SMALLEST_NORM**2).sqrt() for gradient in (a, b)]
    return product / (lengths[0] * lengths[1])


def squared_norm(gradient: Sequence[Tensor]) -> Tensor:
    """Return the squared length of a gradient, taken as one vector."""
    return torch.stack([tensor.square().sum() for tensor in gradient]).sum()


def _gradient(of: Tensor, parameters: Sequence[Tensor], *, differentiable: bool) -> list[Tensor]:
    return list(
        torch.autograd.grad(of, parameters, retain_graph=True, create_graph=differentiable, materialize_grads=True)
    )
