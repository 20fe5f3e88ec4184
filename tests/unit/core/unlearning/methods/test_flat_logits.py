import pytest
import torch

from core.unlearning.methods.flat_logits import FlatLogits
from tests.unit.core.unlearning.methods.conftest import drawn, forget_batch, gradient


def test_value_by_hand():
    logits = torch.tensor([[3.0, 0.0, 0.0], [1.0, -1.0, 3.0]])
    expected = ((3 - 1) ** 2 + (3 - 1) ** 2) / 2
    assert FlatLogits()(forget_batch(logits, [0, 0])).item() == pytest.approx(expected)


def test_flat_logits_cost_nothing_whatever_their_level():
    assert FlatLogits()(forget_batch(torch.full((2, 7), 11.0), [0, 1])) == 0


def test_gradient_pulls_the_largest_logit_down_and_all_up():
    logits = drawn(2, 5).requires_grad_()
    loss = FlatLogits()(forget_batch(logits, [0, 0]))
    flat = logits.detach()
    excess = flat.amax(-1) - flat.mean(-1)
    leads = torch.nn.functional.one_hot(flat.argmax(-1), 5)
    expected = 2 * excess[:, None] * (leads - 1 / 5) / 2
    torch.testing.assert_close(gradient(loss, logits), expected)
