import math

import pytest
import torch

from core.unlearning.methods.self_distillation import SelfDistillation
from tests.unit.core.unlearning.methods.conftest import drawn, forget_batch, gradient


def test_value_by_hand():
    now, base = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.5, 0.3, 0.2]])
    # Lowering the true token's logit by log 5 divides its odds by five: 0.1 to 0.3 to 0.2.
    teacher = [0.1 / 0.6, 0.3 / 0.6, 0.2 / 0.6]
    expected = -sum(t * math.log(p) for t, p in zip(teacher, [0.7, 0.2, 0.1], strict=True))
    loss = SelfDistillation(beta=math.log(5))(forget_batch(now.log(), [0], reference=base.log()))
    assert loss.item() == pytest.approx(expected)


def test_gradient_is_prediction_minus_teacher():
    logits, base, target = drawn(3, 5).requires_grad_(), drawn(3, 5, seed=1), [4, 0, 0]
    loss = SelfDistillation(beta=10.0)(forget_batch(logits, target, reference=base))
    teacher = (base - 10.0 * torch.nn.functional.one_hot(torch.tensor(target), 5)).softmax(-1)
    torch.testing.assert_close(gradient(loss, logits), (logits.detach().softmax(-1) - teacher) / 3)


def test_gradient_vanishes_at_the_teacher():
    base = drawn(2, 5)
    logits = base.clone()
    logits[range(2), [4, 0]] -= 10.0
    logits.requires_grad_()
    loss = SelfDistillation(beta=10.0)(forget_batch(logits, [4, 0], reference=base))
    torch.testing.assert_close(gradient(loss, logits), torch.zeros(2, 5))


def test_base_models_logits_are_left_as_they_are():
    base = drawn(2, 5)
    before = base.clone()
    SelfDistillation()(forget_batch(drawn(2, 5, seed=1), [4, 0], reference=base))
    assert torch.equal(base, before)


def test_missing_reference_is_refused():
    with pytest.raises(ValueError, match="base model"):
        SelfDistillation()(forget_batch(drawn(2, 5), [0, 1]))
