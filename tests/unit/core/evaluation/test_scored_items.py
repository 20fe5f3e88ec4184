import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.scored_items import score_items, spread_of

SHAPES = st.lists(
    st.tuples(st.integers(2, 30), st.integers(1, 30), st.integers(0, 2)).filter(lambda s: s[1] + s[2] < s[0]),
    min_size=1,
    max_size=6,
)


@torch.no_grad()
def slow_scores(model, example):
    """One example, one forward pass of the whole model, one place at a time."""
    logits = model(input_ids=torch.tensor([example.tokens])).logits[0].float()
    last_content = len(example.tokens) - example.num_trailing
    log_prob, predicted, trailing = [], [], []
    for at in range(example.first_label, len(example.tokens)):
        before = logits[at - 1]
        if at < last_content:
            log_prob.append((before - before.logsumexp(0))[example.tokens[at]])
            predicted.append(int(before.argmax()))
        else:
            trailing.append(int(before.argmax()) == example.tokens[at])
    return torch.stack(log_prob), torch.tensor(predicted), torch.tensor(trailing, dtype=torch.bool)


@torch.no_grad()
def slow_spread(model, example):
    """Mean and standard deviation of log p under p, from their first and second moments, place by place."""
    logits = model(input_ids=torch.tensor([example.tokens])).logits[0]  # float64, as the model
    mean, deviation = [], []
    for at in range(example.first_label, len(example.tokens) - example.num_trailing):
        log_probs = logits[at - 1].log_softmax(0)
        first, second = ((log_probs.exp() * log_probs**power).sum() for power in (1, 2))
        mean.append(first)
        deviation.append((second - first**2).sqrt())
    return torch.stack(mean), torch.stack(deviation)


@given(shapes=SHAPES)
@settings(max_examples=10, deadline=None)
def test_scores_equal_a_forward_pass_per_item(model, make_example, shapes):
    examples = [
        make_example(length, first_label=first, num_trailing=trailing, seed=place, id=str(place))
        for place, (length, first, trailing) in enumerate(shapes)
    ]

    scored = score_items(model, examples, pad_id=0, max_batch_tokens=60)

    assert [item.id for item in scored] == [example.id for example in examples]
    for item, example in zip(scored, examples, strict=True):
        log_prob, predicted, trailing = slow_scores(model, example)
        torch.testing.assert_close(item.log_prob, log_prob, rtol=1e-5, atol=1e-5)
        assert torch.equal(item.predicted, predicted)
        assert tuple(item.target.tolist()) == example.answer
        assert torch.equal(item.correct, predicted == item.target)
        assert torch.equal(item.trailing_correct, trailing)


@given(shapes=SHAPES)
@settings(max_examples=10, deadline=None)
def test_spread_equals_the_moments_of_the_predicted_distribution_when_asked(model, make_example, shapes):
    examples = [
        make_example(length, first_label=first, num_trailing=trailing, seed=place)
        for place, (length, first, trailing) in enumerate(shapes)
    ]

    scored = score_items(model, examples, pad_id=0, max_batch_tokens=60, with_spread=True)

    for item, example in zip(scored, examples, strict=True):
        mean, deviation = slow_spread(model, example)
        torch.testing.assert_close(item.spread.mean.double(), mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(item.spread.deviation.double(), deviation, rtol=1e-4, atol=1e-5)


def test_spread_is_absent_when_nobody_asks(gpt_neo, make_example):
    (item,) = score_items(gpt_neo, [make_example(5)], pad_id=0)

    assert item.spread is None


def test_spread_is_zero_when_one_token_is_certain():
    logits = torch.tensor([[0.0, -math.inf, -math.inf]])

    spread = spread_of(logits.log_softmax(dim=-1))

    assert (spread.mean.item(), spread.deviation.item()) == (0.0, 0.0)


def test_spread_is_not_a_number_when_the_logits_are_none():
    spread = spread_of(torch.full((1, 3), math.nan))

    assert spread.mean.isnan()
    assert spread.deviation.isnan()


def test_spread_is_float32_when_the_model_is_bfloat16(gpt_neo, make_example):
    model = copy.deepcopy(gpt_neo).bfloat16()

    (item,) = score_items(model, [make_example(9)], pad_id=0, with_spread=True)

    assert (item.spread.mean.dtype, item.spread.deviation.dtype) == (torch.float32, torch.float32)


def test_loss_is_the_mean_negative_log_probability(gpt_neo, make_example):
    (item,) = score_items(gpt_neo, [make_example(9, num_trailing=1)], pad_id=0)

    assert len(item.log_prob) == 7
    assert item.loss == pytest.approx(-sum(item.log_prob.tolist()) / 7)


def test_log_probabilities_are_float32_when_the_model_is_bfloat16(gpt_neo, make_example):
    model = copy.deepcopy(gpt_neo).bfloat16()

    (item,) = score_items(model, [make_example(9)], pad_id=0)

    assert item.log_prob.dtype == torch.float32


@pytest.mark.parametrize("training", [True, False])
def test_training_mode_is_as_before_when_scored(gpt_neo, make_example, training):
    gpt_neo.train(training)
    try:
        score_items(gpt_neo, [make_example(5)], pad_id=0)
        assert gpt_neo.training is training
    finally:
        gpt_neo.eval()


def test_no_graph_is_kept_when_scored(gpt_neo, make_example):
    (item,) = score_items(gpt_neo, [make_example(5)], pad_id=0)

    assert not item.log_prob.requires_grad
