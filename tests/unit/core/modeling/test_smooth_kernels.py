"""Derivatives of whole models against central differences of the derivatives one order lower, in float64."""

import pytest
import torch
from torch.nn import functional

from core.modeling.smooth_kernels import layer_norm, smooth_kernels
from tests.fakes.tiny_models import ARCHITECTURES, VOCAB, tiny_model

STEP = 1e-3  # some models compute in float32 whatever the dtype of their weights, so it cannot be much smaller


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def curved(model, hidden):
    """A loss of the input embeddings: they are what every layer depends on."""
    logits = model(inputs_embeds=hidden, use_cache=False).logits[0]
    return functional.cross_entropy(logits, torch.arange(len(logits)) * 37 % VOCAB)


def slope(model, hidden, *, order, directions):
    """The derivative of this order along the first so many directions but one, with respect to the embeddings."""
    at = hidden.clone().requires_grad_()
    with smooth_kernels():
        value = curved(model, at)
    for direction in directions[: order - 1]:
        (gradient,) = torch.autograd.grad(value, at, create_graph=True)
        value = (gradient * direction).sum()
    return torch.autograd.grad(value, at)[0]


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_derivatives_of_a_model_are_those_of_its_differences(architecture, order):
    model = tiny_model(architecture).double()
    hidden, directions = drawn(1, 6, 32), [drawn(1, 6, 32, seed=1), drawn(1, 6, 32, seed=2)]
    along = directions[order - 2]
    found = slope(model, hidden, order=order, directions=directions)
    above, below = (
        slope(model, hidden + sign * STEP * along, order=order - 1, directions=directions) for sign in (1, -1)
    )
    slow = (above - below) / (2 * STEP)
    assert (found - slow).norm() < 1e-3 * slow.norm()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_function_stays_the_same(architecture):
    model, ids = tiny_model(architecture), torch.arange(12).unsqueeze(0) * 19 % VOCAB
    plain = model(input_ids=ids, use_cache=False).logits
    with smooth_kernels():
        smooth = model(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(smooth, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (4, 5)])
def test_layer_norm_is_that_of_torch(shape, has_bias):
    x, weight, bias = drawn(3, 4, 5), drawn(*shape, seed=1), drawn(*shape, seed=2) if has_bias else None
    torch.testing.assert_close(layer_norm(x, shape, weight, bias), functional.layer_norm(x, shape, weight, bias))


def test_layer_norm_without_a_weight_is_that_of_torch():
    x = drawn(3, 5)
    torch.testing.assert_close(layer_norm(x, (5,), eps=0.1), functional.layer_norm(x, (5,), eps=0.1))


def test_layer_norm_in_half_precision_computes_in_float32():
    x = (100 + drawn(3, 64)).bfloat16()
    assert torch.equal(layer_norm(x, (64,)), functional.layer_norm(x, (64,)))


def test_kernels_are_the_usual_ones_afterwards():
    with smooth_kernels():
        pass
    query = drawn(1, 1, 3, 4).requires_grad_()
    attended = functional.scaled_dot_product_attention(query, query, query)
    assert "Math" not in type(attended.grad_fn).__name__
    assert "FlashAttention" in type(attended.grad_fn).__name__
