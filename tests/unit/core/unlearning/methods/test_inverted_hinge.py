import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.unlearning.methods.inverted_hinge import InvertedHinge
from tests.unit.core.unlearning.methods.conftest import forget_batch


def test_value_by_hand():
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    # true token 0 at 0.7 against rival 0.2; true token 0 at 0.1 against rival 0.6
    expected = ((1 + 0.7 - 0.2) + (1 + 0.1 - 0.6)) / 2
    assert InvertedHinge()(forget_batch(probabilities.log(), [0, 0])).item() == pytest.approx(expected)


def test_gradient_matches_the_published_identities():
    logits = torch.tensor([[1.0, 0.5, -0.3, 0.2]], requires_grad=True)
    InvertedHinge()(forget_batch(logits, [2])).backward()
    p = logits.detach().softmax(-1)[0]
    p_true, p_rival = p[2], p[0]
    expected = p * (p_rival - p_true)
    expected[2] = p_true * (1 - p_true + p_rival)
    expected[0] = -p_rival * (1 + p_true - p_rival)
    torch.testing.assert_close(logits.grad[0], expected)


def test_gradient_vanishes_once_the_rival_has_won():
    logits = torch.tensor([[20.0, -20.0, 0.0]], requires_grad=True)
    InvertedHinge()(forget_batch(logits, [1])).backward()
    assert logits.grad.abs().max() < 1e-6


@given(st.integers(0, 2**31 - 1), st.integers(1, 9), st.integers(2, 40))
def test_equals_the_one_hot_definition(seed, places, vocabulary):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(places, vocabulary, generator=generator)
    target = torch.randint(vocabulary, (places,), generator=generator)
    p = logits.softmax(-1)
    rivals = p.masked_fill(torch.nn.functional.one_hot(target, vocabulary).bool(), -1.0).amax(-1)
    expected = (1 + p.gather(1, target[:, None])[:, 0] - rivals).mean()
    value = InvertedHinge()(forget_batch(logits, target.tolist()))
    assert 0 <= value <= 2
    torch.testing.assert_close(value, expected)
