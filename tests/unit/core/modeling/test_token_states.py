"""Losses of a few places at a time, against the ordinary graph of all logits at once."""

from dataclasses import replace

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from core.modeling.token_states import TokenStates, nll, places_at_once
from core.unlearning.methods.inverted_hinge import inverted_hinge

PLACES, WIDTH, VOCABULARY = 11, 6, 17


def divergence(logits, base, target):
    del target
    return (base.softmax(-1) * (base.log_softmax(-1) - logits.log_softmax(-1))).sum(-1)


def head_of(weight, bias=None):
    """A frozen output head with this weight (V, D)."""
    vocabulary, width = weight.shape
    head = nn.Linear(width, vocabulary, bias=bias is not None, dtype=weight.dtype).requires_grad_(False)
    head.weight.copy_(weight)
    if bias is not None:
        head.bias.copy_(bias)
    return head


def drawn(*, seed=0, places=PLACES, width=WIDTH, vocabulary=VOCABULARY, dtype=torch.float32, biased=False):
    """Places in one chunk, whose states have a gradient."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    return TokenStates(
        hidden=normal(places, width).requires_grad_(),
        head=head_of(normal(vocabulary, width), normal(vocabulary) if biased else None),
        target=torch.randint(vocabulary, (places,), generator=generator),
        row=torch.arange(places),
        chunk=places,
        reference=normal(places, width),
    )


def costs_and_gradient(states, loss, weights):
    """The costs, and the gradient of their weighted sum with respect to the states."""
    costs = states.each_against_base(loss) if loss is divergence else states.each(loss)
    (gradient,) = torch.autograd.grad((weights * costs).sum(), states.hidden)
    return costs.detach(), gradient


SHAPES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**31 - 1),
        "places": st.integers(1, 12),
        "width": st.integers(1, 9),
        "vocabulary": st.integers(2, 40),
        "biased": st.booleans(),
    }
)


@pytest.mark.parametrize("loss", [nll, inverted_hinge, divergence])
@given(SHAPES, st.integers(1, 13), st.sampled_from([torch.float32, torch.bfloat16]))
@example({"seed": 0, "places": 2, "width": 1, "vocabulary": 2, "biased": False}, 1, torch.float32)
def test_chunks_equal_the_graph_of_all_logits(loss, shape, chunk, dtype):
    whole = drawn(**shape, dtype=dtype)
    weights = torch.randn(len(whole), generator=torch.Generator().manual_seed(shape["seed"]))
    logits = whole.head(whole.hidden).float()
    beside = [whole.head(whole.reference).float()] if loss is divergence else []
    expected = loss(logits, *beside, whole.target)
    (expected_gradient,) = torch.autograd.grad((weights * expected).sum(), whole.hidden)
    costs, gradient = costs_and_gradient(replace(whole, chunk=chunk), loss, weights)
    assert (costs.dtype, gradient.dtype) == (torch.float32, dtype)
    torch.testing.assert_close(costs, expected.detach(), rtol=1e-5, atol=1e-5)
    # In bfloat16 the gradient is rounded to its 8 bits before it is scaled instead of after.
    rtol, atol = (1e-4, 1e-5) if dtype == torch.float32 else (2e-2, 2e-2)
    torch.testing.assert_close(gradient, expected_gradient, rtol=rtol, atol=atol)


@given(st.integers(0, 2**31 - 1), st.integers(1, 8))
def test_rivals_that_tie_are_settled_as_in_the_graph_of_all_logits(seed, chunk):
    # Whole numbers, so that the head's sums are exact and rivals do tie; at the first place all tokens do.
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randint(-1, 2, (8, 3), generator=generator).float()
    hidden[0] = 0.0
    head = head_of(torch.randint(-1, 2, (9, 3), generator=generator).float())
    target = torch.randint(9, (8,), generator=generator)
    states = TokenStates(hidden.requires_grad_(), head, target, torch.arange(8), chunk=8)
    expected, found = (
        costs_and_gradient(replace(states, chunk=many), inverted_hinge, torch.ones(8)) for many in (8, chunk)
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_no_more_places_than_a_chunk_have_logits_and_each_has_them_once():
    states, seen = replace(drawn(), chunk=4), []
    states.head.register_forward_hook(lambda _module, _inputs, logits: seen.append(len(logits)))
    states.each(nll).mean().backward()
    assert seen == [4, 4, 3]


def test_nothing_as_large_as_all_logits_is_kept():
    states, sizes = replace(drawn(), chunk=4), []
    with torch.autograd.graph.saved_tensors_hooks(lambda kept: sizes.append(kept.numel()) or kept, lambda kept: kept):
        costs = states.each(nll)
    costs.sum().backward()
    assert max(sizes) <= max(4 * VOCABULARY, VOCABULARY * WIDTH, PLACES * WIDTH)


@pytest.mark.parametrize("loss", [nll, divergence])
def test_gradient_of_chunks_is_not_differentiated_again(loss):
    def curvature(states):
        costs = states.each_against_base(loss) if loss is divergence else states.each(loss)
        (slope,) = torch.autograd.grad(costs.sum(), states.hidden, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), states.hidden)[0]

    assert curvature(drawn()).isfinite().all()
    with pytest.raises(RuntimeError, match="cannot be differentiated"):
        curvature(replace(drawn(), chunk=4))


def test_cost_that_is_no_number_makes_a_gradient_that_is_none():
    states = replace(drawn(), chunk=4)
    states.hidden.data[3] = float("nan")
    costs, gradient = costs_and_gradient(states, nll, torch.ones(PLACES))
    assert costs.isnan().nonzero().flatten().tolist() == [3]
    assert gradient.isnan().any(dim=1).nonzero().flatten().tolist() == [3]


def test_head_that_is_trained_is_refused_where_it_would_get_no_gradient():
    states = drawn()
    states.head.requires_grad_()
    states.each(nll).sum().backward()
    assert states.head.weight.grad.any()
    with pytest.raises(ValueError, match="one chunk"):
        replace(states, chunk=4).each(nll)


def test_loss_that_compares_is_refused_without_the_base_models_states():
    with pytest.raises(ValueError, match="base model"):
        replace(drawn(), reference=None).each_against_base(divergence)


@pytest.mark.parametrize("with_reference", [True, False])
def test_chosen_places_cost_what_they_cost_among_all(with_reference):
    states = drawn() if with_reference else replace(drawn(), reference=None)
    chosen = torch.arange(PLACES) % 3 == 1
    some = states.where(chosen)
    assert (len(some), some.row.tolist()) == (4, [1, 4, 7, 10])
    torch.testing.assert_close(some.each(nll), states.each(nll)[chosen])
    if with_reference:
        torch.testing.assert_close(some.each_against_base(divergence), states.each_against_base(divergence)[chosen])


def test_places_at_once_have_float32_logits_within_the_limit():
    assert places_at_once(128 * 1024) == 256
    assert places_at_once(10, max_logit_bytes=399) == 9
    assert places_at_once(10, max_logit_bytes=1) == 1
