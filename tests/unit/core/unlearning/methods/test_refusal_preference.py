import math

import pytest
import torch

from core.unlearning.methods.refusal_preference import RefusalPreference
from tests.unit.core.unlearning.methods.conftest import ascent, drawn, forget_batch, token_states

TARGET, ROW = [4, 0, 0, 2], [0, 0, 0, 1]  # answers: three tokens and one
REFUSAL, REFUSAL_ROW = [1, 3, 1], [0, 1, 1]  # refusals of the same rows: one token and two


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_value_by_hand():
    answer, answer_base = torch.tensor([[0.7, 0.3]]), torch.tensor([[0.9, 0.1]])
    refusal, refusal_base = torch.tensor([[0.4, 0.6], [0.5, 0.5]]), torch.tensor([[0.2, 0.8], [0.75, 0.25]])
    rewritten = token_states(refusal.log(), [0, 1], reference=refusal_base.log())
    batch = forget_batch(answer.log(), [0], reference=answer_base.log(), rewritten=rewritten)
    gain_of_refusal = math.log(0.4 / 0.2) + math.log(0.5 / 0.25)
    gain_of_answer = math.log(0.7 / 0.9)
    expected = -2 / 0.5 * math.log(sigmoid(0.5 * (gain_of_refusal - gain_of_answer)))
    assert RefusalPreference(beta=0.5)(batch).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_raises_the_refusal_and_lowers_the_answer_of_the_same_row():
    beta = 0.3
    answer, refusal = drawn(4, 5).requires_grad_(), drawn(3, 5, seed=1).requires_grad_()
    answer_base, refusal_base = drawn(4, 5, seed=2), drawn(3, 5, seed=3)
    rewritten = token_states(refusal, REFUSAL, REFUSAL_ROW, refusal_base)
    batch = forget_batch(answer, TARGET, row=ROW, reference=answer_base, rewritten=rewritten)

    def gains(logits, base, target, row):
        log_ratio = (logits.detach().log_softmax(-1) - base.log_softmax(-1))[range(len(target)), target]
        return torch.zeros(2).index_add(0, torch.tensor(row), log_ratio)

    margin = gains(refusal, refusal_base, REFUSAL, REFUSAL_ROW) - gains(answer, answer_base, TARGET, ROW)
    weight = 2 * (-beta * margin).sigmoid() / 2  # the factor 2, and a mean over two rows
    loss = RefusalPreference(beta)(batch)
    found_answer, found_refusal = torch.autograd.grad(loss, (answer, refusal))
    torch.testing.assert_close(found_answer, weight[ROW][:, None] * ascent(answer, TARGET))
    torch.testing.assert_close(found_refusal, -weight[REFUSAL_ROW][:, None] * ascent(refusal, REFUSAL))


def test_base_model_costs_two_logarithms_of_two_over_beta():
    logits, refusal = drawn(4, 5), drawn(3, 5, seed=1)
    rewritten = token_states(refusal, REFUSAL, REFUSAL_ROW, refusal)
    loss = RefusalPreference(beta=0.5)(forget_batch(logits, TARGET, row=ROW, reference=logits, rewritten=rewritten))
    assert loss.item() == pytest.approx(2 / 0.5 * math.log(2))


@pytest.mark.parametrize("part", ["reference", "rewritten", "reference of the rewritten"])
def test_missing_part_is_refused(part):
    logits, refusal = drawn(4, 5), drawn(3, 5, seed=1)
    rewritten = token_states(refusal, REFUSAL, REFUSAL_ROW, None if part == "reference of the rewritten" else refusal)
    batch = forget_batch(
        logits,
        TARGET,
        row=ROW,
        reference=None if part == "reference" else logits,
        rewritten=None if part == "rewritten" else rewritten,
    )
    with pytest.raises(ValueError, match="with a refusal" if part == "rewritten" else "base model"):
        RefusalPreference()(batch)
