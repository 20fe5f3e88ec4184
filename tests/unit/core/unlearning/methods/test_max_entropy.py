import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.unlearning.methods.max_entropy import MaxEntropy
from tests.unit.core.unlearning.methods.conftest import drawn, forget_batch, gradient


def test_value_by_hand():
    p = [0.7, 0.2, 0.1]
    expected = math.log(3) + sum(value * math.log(value) for value in p)
    assert MaxEntropy()(forget_batch(torch.tensor([p]).log(), [0])).item() == pytest.approx(expected)


def test_uniform_prediction_costs_nothing():
    assert MaxEntropy()(forget_batch(torch.full((2, 7), 3.0), [0, 1])).item() == pytest.approx(0, abs=1e-6)


def test_certain_prediction_costs_the_logarithm_of_the_vocabulary():
    logits = torch.tensor([[200.0, 0.0, 0.0, 0.0]])
    assert MaxEntropy()(forget_batch(logits, [1])).item() == pytest.approx(math.log(4))


@given(st.integers(0, 2**31 - 1), st.integers(1, 6), st.integers(2, 40))
def test_range_is_from_zero_to_the_logarithm_of_the_vocabulary(seed, places, vocabulary):
    loss = MaxEntropy()(forget_batch(3 * drawn(places, vocabulary, seed=seed), [0] * places))
    assert -1e-5 <= loss <= math.log(vocabulary) + 1e-5


def test_gradient_is_that_of_the_negative_entropy():
    logits = drawn(2, 5).requires_grad_()
    loss = MaxEntropy()(forget_batch(logits, [0, 0]))
    log_p = logits.detach().log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1, keepdim=True)
    torch.testing.assert_close(gradient(loss, logits), log_p.exp() * (log_p + entropy) / 2)
