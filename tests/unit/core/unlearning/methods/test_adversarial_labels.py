import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.unlearning.methods.adversarial_labels import AdversarialLabels
from tests.unit.core.unlearning.methods.conftest import ascent, drawn, forget_batch, gradient


def test_value_by_hand():
    now = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    base = torch.tensor([[0.6, 0.1, 0.3], [0.5, 0.3, 0.2]])
    # The base model's best is the true token at the first place, where 2 comes next, and a wrong one at the second.
    expected = -(math.log(0.1) + math.log(0.1)) / 2
    loss = AdversarialLabels()(forget_batch(now.log(), [0, 2], reference=base.log()))
    assert loss.item() == pytest.approx(expected)


@given(st.integers(0, 2**31 - 1), st.integers(1, 8), st.integers(2, 12))
def test_label_is_the_base_models_best_wrong_token_at_that_very_place(seed, places, vocabulary):
    logits, base = drawn(places, vocabulary, seed=seed).requires_grad_(), drawn(places, vocabulary, seed=seed + 1)
    target = torch.randint(vocabulary, (places,), generator=torch.Generator().manual_seed(seed)).tolist()
    labels = []
    for place in range(places):
        wrong = [token for token in range(vocabulary) if token != target[place]]
        labels.append(max(wrong, key=lambda token, place=place: base[place, token].item()))
    loss = AdversarialLabels()(forget_batch(logits, target, reference=base))
    torch.testing.assert_close(gradient(loss, logits), -ascent(logits, labels) / places)


def test_missing_reference_is_refused():
    with pytest.raises(ValueError, match="base model"):
        AdversarialLabels()(forget_batch(drawn(2, 5), [0, 1]))
