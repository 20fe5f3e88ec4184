import math

import pytest
import torch

from core.unlearning.methods.gradient_ascent import GradientAscent
from tests.unit.core.unlearning.methods.conftest import ascent, drawn, forget_batch, gradient


def test_value_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    expected = (math.log(0.7) + math.log(0.3)) / 2
    assert GradientAscent()(forget_batch(p.log(), [0, 1])).item() == pytest.approx(expected)


def test_gradient_is_one_hot_minus_prediction():
    logits, target = drawn(3, 5).requires_grad_(), [4, 0, 0]
    loss = GradientAscent()(forget_batch(logits, target))
    torch.testing.assert_close(gradient(loss, logits), ascent(logits, target) / 3)


def test_gradient_does_not_vanish_when_the_token_is_gone():
    logits = torch.tensor([[-30.0, 0.0, 0.0]], requires_grad=True)
    loss = GradientAscent()(forget_batch(logits, [0]))
    torch.testing.assert_close(gradient(loss, logits), torch.tensor([[1.0, -0.5, -0.5]]))
