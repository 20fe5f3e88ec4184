import math

import pytest
import torch

from core.unlearning.retain_loss import retain_loss
from tests.unit.core.unlearning.methods.conftest import token_states

P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
BASE = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])


def places(logits, base=None):
    return token_states(logits, [0, 1], reference=base)


def test_cross_entropy_by_hand():
    expected = -(math.log(0.7) + math.log(0.3)) / 2
    assert retain_loss("cross_entropy", places(P.log())).item() == pytest.approx(expected)


def test_kl_by_hand():
    pairs = zip(BASE.flatten().tolist(), P.flatten().tolist(), strict=True)
    expected = sum(base * math.log(base / now) for base, now in pairs) / 2
    assert retain_loss("kl", places(P.log(), BASE.log())).item() == pytest.approx(expected, rel=1e-5)


def test_kl_to_the_base_model_itself_is_zero():
    logits = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    assert retain_loss("kl", places(logits, logits)) == 0


def test_gradient_of_kl_is_the_difference_of_predictions():
    logits = P.log().requires_grad_()
    retain_loss("kl", places(logits, BASE.log())).backward()
    torch.testing.assert_close(logits.grad, (P - BASE) / 2)


@pytest.mark.parametrize("kind", ["cross_entropy", "kl"])
def test_half_precision_logits_give_a_float32_loss(kind):
    logits, base = P.log().bfloat16(), BASE.log().bfloat16()
    value = retain_loss(kind, places(logits, base))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, retain_loss(kind, places(logits.float(), base.float())))


def test_kl_without_the_base_models_logits_is_refused():
    with pytest.raises(ValueError, match="base model"):
        retain_loss("kl", places(P.log()))
