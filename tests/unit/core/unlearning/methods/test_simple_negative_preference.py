import math

import pytest
import torch

from core.unlearning.methods.simple_negative_preference import SimpleNegativePreference
from tests.unit.core.unlearning.methods.conftest import ascent, drawn, forget_batch, gradient

TARGET, ROW = [4, 0, 0, 2], [0, 0, 0, 1]  # three tokens of one row, one of another


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_value_by_hand():
    p = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]])
    first, second = -math.log(0.7 * 0.4) / 2, -math.log(0.1)
    expected = -2 / 2.5 * sum(math.log(sigmoid(2.5 * (nll - 0.4))) for nll in (first, second)) / 2
    loss = SimpleNegativePreference(beta=2.5, delta=0.4)(forget_batch(p.log(), [0, 0, 1], row=[0, 0, 1]))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_text_said_twice_costs_as_much_as_once():
    logits = drawn(3, 5)
    once = SimpleNegativePreference()(forget_batch(logits, [1, 2, 3]))
    twice = SimpleNegativePreference()(forget_batch(logits.repeat(2, 1), [1, 2, 3, 1, 2, 3]))
    torch.testing.assert_close(once, twice)


def test_rows_count_alike_whatever_their_length():
    logits = drawn(4, 5)
    loss = SimpleNegativePreference()
    long, short = loss(forget_batch(logits[:3], TARGET[:3])), loss(forget_batch(logits[3:], TARGET[3:]))
    torch.testing.assert_close(loss(forget_batch(logits, TARGET, row=ROW)), (long + short) / 2)


def test_gradient_is_ascent_over_the_length_weighted_by_how_likely_the_row_still_is():
    beta, delta, logits = 2.5, 0.4, drawn(4, 5).requires_grad_()
    loss = SimpleNegativePreference(beta, delta)(forget_batch(logits, TARGET, row=ROW))
    log_p = logits.detach().log_softmax(-1)[range(4), TARGET]
    nll = -torch.stack([log_p[:3].mean(), log_p[3]])
    weight = 2 * (-beta * (nll - delta)).sigmoid() / torch.tensor([3, 1])
    expected = weight[ROW][:, None] * ascent(logits, TARGET) / 2
    torch.testing.assert_close(gradient(loss, logits), expected)
