import math

import pytest
import torch

from core.unlearning.methods.cross_entropy_unlearning import CrossEntropyUnlearning
from tests.unit.core.unlearning.methods.conftest import drawn, forget_batch, gradient


def test_value_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1]])
    # Without the true token, 0.2 and 0.1 become 2/3 and 1/3.
    expected = -(2 / 3 * math.log(0.2) + 1 / 3 * math.log(0.1))
    assert CrossEntropyUnlearning()(forget_batch(p.log(), [0])).item() == pytest.approx(expected)


def test_gradient_is_prediction_minus_target():
    logits, target = drawn(3, 5).requires_grad_(), [4, 0, 0]
    loss = CrossEntropyUnlearning()(forget_batch(logits, target))
    p = logits.detach().softmax(-1)
    p_true = p[range(3), target]
    expected = p - p / (1 - p_true)[:, None]
    expected[range(3), target] = p_true  # the target has nothing there
    torch.testing.assert_close(gradient(loss, logits), expected / 3)


def test_gradient_vanishes_when_the_token_is_gone():
    logits = torch.tensor([[-30.0, 0.5, -0.5]], requires_grad=True)
    loss = CrossEntropyUnlearning()(forget_batch(logits, [0]))
    assert gradient(loss, logits).abs().max() < 1e-6
