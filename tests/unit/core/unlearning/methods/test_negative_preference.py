import math

import pytest
import torch

from core.unlearning.methods.negative_preference import NegativePreference
from tests.unit.core.unlearning.methods.conftest import ascent, drawn, forget_batch, gradient

TARGET, ROW = [4, 0, 0, 2], [0, 0, 0, 1]  # three tokens of one row, one of another


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_value_by_hand():
    now, base = torch.tensor([[0.7, 0.3], [0.4, 0.6]]), torch.tensor([[0.5, 0.5], [0.2, 0.8]])
    batch = forget_batch(now.log(), [0, 0], row=[3, 3], reference=base.log())
    advantage = math.log(0.5 * 0.2) - math.log(0.7 * 0.4)  # of the row: log-likelihoods of its tokens add up
    expected = -2 / 0.1 * math.log(sigmoid(0.1 * advantage))
    assert NegativePreference(beta=0.1)(batch).item() == pytest.approx(expected, rel=1e-5)


def test_base_model_costs_two_logarithms_of_two_over_beta():
    logits = drawn(4, 5)
    batch = forget_batch(logits, TARGET, row=ROW, reference=logits)
    assert NegativePreference(beta=0.5)(batch).item() == pytest.approx(2 / 0.5 * math.log(2))


def test_gradient_is_ascent_weighted_by_how_likely_the_row_still_is():
    beta, logits, base = 0.3, drawn(4, 5).requires_grad_(), drawn(4, 5, seed=1)
    loss = NegativePreference(beta)(forget_batch(logits, TARGET, row=ROW, reference=base))
    log_p = logits.detach().log_softmax(-1)[range(4), TARGET]
    log_base = base.log_softmax(-1)[range(4), TARGET]
    ratio = torch.stack([(log_p - log_base)[:3].sum(), (log_p - log_base)[3]])
    weight = 2 * ratio.exp() ** beta / (1 + ratio.exp() ** beta)  # equation 4 of the paper
    expected = weight[ROW][:, None] * ascent(logits, TARGET) / 2  # a mean over two rows
    torch.testing.assert_close(gradient(loss, logits), expected)


def test_small_beta_is_gradient_ascent_on_rows():
    logits, base = drawn(4, 5).requires_grad_(), drawn(4, 5, seed=1)
    loss = NegativePreference(beta=1e-4)(forget_batch(logits, TARGET, row=ROW, reference=base))
    torch.testing.assert_close(gradient(loss, logits), ascent(logits, TARGET) / 2, rtol=1e-3, atol=1e-4)


def test_rows_without_places_do_not_count():
    logits, base = drawn(2, 5), drawn(2, 5, seed=1)
    near = NegativePreference()(forget_batch(logits, [1, 2], row=[0, 1], reference=base))
    far = NegativePreference()(forget_batch(logits, [1, 2], row=[3, 9], reference=base))
    assert torch.equal(near, far)


def test_missing_reference_is_refused():
    with pytest.raises(ValueError, match="base model"):
        NegativePreference()(forget_batch(drawn(2, 5), [0, 1]))
