"""The inner objective on two functions of six numbers whose gradients and Hessians are known by hand."""

import pytest
import torch
from torch.nn import functional

from core.unlearning.inner_objective import SMALLEST_NORM, cosine, inner_gradient, squared_norm

BETA = 0.7


def drawn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Quartic:
    """``x^T M x / 2 + sum(x^4) / 12 + b^T x``, with gradient ``M x + x^3 / 3 + b`` and Hessian ``M + diag(x^2)``."""

    def __init__(self, seed):
        half = drawn(6, 6, seed=seed)
        self.matrix, self.slope = half + half.T, drawn(6, seed=seed + 1)

    def __call__(self, x):
        return x @ self.matrix @ x / 2 + (x**4).sum() / 12 + self.slope @ x

    def gradient(self, x):
        return self.matrix @ x + x**3 / 3 + self.slope

    def hessian(self, x):
        return self.matrix + torch.diag(x**2)


FORGET, RETAIN = Quartic(10), Quartic(20)


def parts(x):
    """The point as an adapter would hold it: in tensors of unlike shapes."""
    return [x[:2].clone().reshape(2, 1).requires_grad_(), x[2:].clone().requires_grad_()]


def whole(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def climb(x, *, beta=BETA, forget=FORGET, retain=RETAIN):
    parameters = parts(x)
    at = whole(parameters)
    return whole(inner_gradient(forget(at), retain(at), parameters, similarity_weight=beta))


def by_hand(x):
    """``a - beta (H_f u + H_r w)``, with the Hessians written out."""
    a, b = FORGET.gradient(x), RETAIN.gradient(x)
    c = a @ b / (a.norm() * b.norm())
    u = (b / b.norm() - c * a / a.norm()) / a.norm()
    w = (a / a.norm() - c * b / b.norm()) / b.norm()
    return a - BETA * (FORGET.hessian(x) @ u + RETAIN.hessian(x) @ w)


@pytest.mark.parametrize("seed", range(5))
def test_gradient_is_that_with_the_hessians_written_out(seed):
    x = drawn(6, seed=seed)
    torch.testing.assert_close(climb(x), by_hand(x))


@pytest.mark.parametrize("seed", range(5))
def test_gradient_of_its_squared_length_is_twice_the_hessian_times_it(seed):
    x = drawn(6, seed=seed)
    parameters = parts(x)
    at = whole(parameters)
    slope = inner_gradient(FORGET(at), RETAIN(at), parameters, similarity_weight=BETA, differentiable=True)
    found = whole(torch.autograd.grad(squared_norm(slope), parameters))
    hessian = torch.autograd.functional.jacobian(by_hand, x)
    torch.testing.assert_close(found, 2 * hessian @ by_hand(x))


def test_gradient_that_is_not_differentiated_again_carries_no_graph():
    parameters = parts(drawn(6, seed=0))
    at = whole(parameters)
    found = inner_gradient(FORGET(at), RETAIN(at), parameters, similarity_weight=BETA)
    assert not any(tensor.requires_grad for tensor in found)


def test_without_a_weight_it_is_the_plain_gradient():
    x = drawn(6, seed=0)
    torch.testing.assert_close(climb(x, beta=0.0), FORGET.gradient(x))


def test_climbing_turns_the_gradients_apart():
    x, found = drawn(6, seed=1), []
    for _ in range(20):
        found.append(float(functional.cosine_similarity(FORGET.gradient(x), RETAIN.gradient(x), dim=0)))
        x = x + 0.01 * (climb(x, beta=1.0) - climb(x, beta=0.0))
    assert found == sorted(found, reverse=True)
    assert found[0] - found[-1] > 0.05


def test_cosine_is_that_of_torch():
    a, b = drawn(6, seed=1), drawn(6, seed=2)
    torch.testing.assert_close(cosine(parts(a), parts(b)), functional.cosine_similarity(a, b, dim=0))


def test_cosine_with_a_vanishing_gradient_fades_to_zero():
    direction = functional.normalize(drawn(6, seed=1), dim=0)
    lengths = torch.tensor([1.0, 0.5, 0.0]) * SMALLEST_NORM
    found = [float(cosine([length * direction], [direction])) for length in lengths]
    assert found == pytest.approx([1.0, 0.5, 0.0])


def test_loss_without_a_slope_asks_for_nothing():
    def flat(x):
        return 0.0 * (x**3).sum()

    x = drawn(6, seed=0)
    assert torch.equal(climb(x, forget=flat, retain=flat), torch.zeros_like(x))


def test_parameter_that_no_loss_depends_on_stays():
    parameters = parts(drawn(6, seed=0))
    forget, retain = (parameters[0] ** 3).sum(), (parameters[0] ** 2).sum()
    found = inner_gradient(forget, retain, parameters, similarity_weight=BETA)
    assert torch.equal(found[1], torch.zeros_like(parameters[1]))
