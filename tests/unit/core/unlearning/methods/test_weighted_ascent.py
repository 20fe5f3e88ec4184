import math

import pytest
import torch

from core.unlearning.methods.gradient_ascent import GradientAscent
from core.unlearning.methods.weighted_ascent import WeightedAscent
from tests.unit.core.unlearning.methods.conftest import ascent, drawn, forget_batch, gradient

P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])


def test_value_by_hand():
    expected = (0.7 * math.log(0.7) + 0.3 * math.log(0.3)) / 2
    assert WeightedAscent(saturation=1.0)(forget_batch(P.log(), [0, 1])).item() == pytest.approx(expected)


def test_value_with_importance_by_hand():
    expected = (0.7**5 * 0.3**2 * math.log(0.7) + 0.3**5 * 0.7**2 * math.log(0.3)) / 2
    loss = WeightedAscent(saturation=5.0, importance=2.0)(forget_batch(P.log(), [0, 1]))
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize(("saturation", "importance"), [(1.0, 0.0), (5.0, 1.0), (0.5, 2.0)])
def test_weight_carries_no_gradient(saturation, importance):
    logits, target = drawn(3, 5).requires_grad_(), [4, 0, 0]
    loss = WeightedAscent(saturation, importance)(forget_batch(logits, target))
    p = logits.detach().softmax(-1)[range(3), target]
    weight = p**saturation * (1 - p) ** importance
    torch.testing.assert_close(gradient(loss, logits), weight[:, None] * ascent(logits, target) / 3)


def test_without_exponents_it_is_gradient_ascent():
    batch = forget_batch(drawn(3, 5), [4, 0, 0])
    torch.testing.assert_close(WeightedAscent(saturation=0.0)(batch), GradientAscent()(batch))


def test_certain_and_impossible_tokens_have_finite_gradients():
    logits = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
    loss = WeightedAscent(saturation=0.5, importance=0.5)(forget_batch(logits, [0, 0]))
    assert gradient(loss, logits).isfinite().all()
