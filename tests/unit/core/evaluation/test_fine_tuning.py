from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from core.data.collate import collate
from core.evaluation import fine_tuning
from core.evaluation.fine_tuning import SCALING, plain_lora, take_step
from core.modeling.adapter import target_linears
from core.modeling.scoring import score
from tests.fakes.tiny_models import ARCHITECTURES, tiny_model
from tests.fakes.unlearned_model import random_adapter
from tests.unit.core.unlearning.conftest import rows

PAD = 256
RANK = 3


def logits(model):
    batch = collate(rows(3, seed=1), pad_id=PAD)
    with torch.no_grad():
        return score(model, batch).logits


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_begins_as_the_model_it_is_put_on(architecture):
    model = tiny_model(architecture)
    random_adapter(model, moved=0.1)
    before = logits(model)

    with plain_lora(model, rank=RANK, seed=0) as parameters:
        assert torch.equal(logits(model), before)
        for parameter in parameters:
            parameter.data.add_(0.1)
        assert not torch.equal(logits(model), before)

    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_first_step_goes_against_the_gradient_of_the_weights_seen_through_the_lora(architecture):
    """With ``B = 0`` the gradient of B is ``s G A^T``, ``G`` that of the weight; AdamW's first step is its sign."""
    model = tiny_model(architecture)
    random_adapter(model, moved=0.1)
    examples, rate = rows(3, seed=1), 1e-3
    dense = dense_gradients(model, examples)

    with plain_lora(model, rank=RANK, seed=0) as parameters:
        before = [parameter.detach().clone() for parameter in parameters]
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
        take_step(model, examples, optimizer, parameters, pad_id=PAD, step=0)
        moved = [parameter.detach() - was for parameter, was in zip(parameters, before, strict=True)]

    for gradient, a, by in zip(dense, before[::2], moved[1::2], strict=True):
        expected = SCALING * gradient @ a.T
        large = expected.abs() > 1e-3 * expected.abs().max()
        torch.testing.assert_close(by[large], -rate * expected[large].sign(), rtol=0.05, atol=0)


def test_a_batch_in_parts_has_the_gradient_of_the_whole(monkeypatch):
    model = tiny_model("llama_tied")
    random_adapter(model, moved=0.1)
    examples = rows(5, seed=1)
    gradients = []

    for most in (1, 30, 10_000):  # a row at a time, some, all
        monkeypatch.setattr(fine_tuning, "MAX_PART_TOKENS", most)
        with plain_lora(model, rank=RANK, seed=0) as parameters:
            take_step(model, examples, torch.optim.SGD(parameters, lr=0.1), parameters, pad_id=PAD, step=0)
            gradients.append([parameter.grad for parameter in parameters])

    for one, some, whole in zip(*gradients, strict=True):
        torch.testing.assert_close(one, whole, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(some, whole, rtol=1e-4, atol=1e-6)


def test_a_step_holds_no_more_than_a_row_where_rows_are_long():
    model = tiny_model("gpt_neo")
    widths = []
    model.transformer.register_forward_pre_hook(
        lambda _module, _args, given: widths.append(given["input_ids"].numel()), with_kwargs=True
    )
    long = [replace(row, tokens=row.tokens * 20) for row in rows(4, seed=1)]

    with plain_lora(model, rank=RANK, seed=0) as parameters:
        take_step(model, long, torch.optim.SGD(parameters, lr=0.1), parameters, pad_id=PAD, step=0)

    assert sorted(widths) == sorted(len(row.tokens) for row in long)


def dense_gradients(model, examples):
    """The gradient of each linear layer's weight as (out, in)."""
    linears = target_linears(model, "all-linear").values()
    weights = [linear.weight.requires_grad_(True) for linear in linears]
    scores = score(model, collate(examples, pad_id=PAD))
    gradients = torch.autograd.grad(functional.cross_entropy(scores.logits, scores.target), weights)
    for weight in weights:
        weight.requires_grad_(False)
    return [g.T if isinstance(linear, Conv1D) else g for linear, g in zip(linears, gradients, strict=True)]
