import math

import pytest
import torch

from core.evaluation.membership.min_k_plus import MinKPlus
from core.evaluation.membership.score import MembershipEvidence, UndefinedScoreError
from core.evaluation.scored_items import score_items


@torch.no_grad()
def slow_score(model, example, *, k):
    """Straight from the logits of the whole sequence, one token and one vocabulary entry at a time."""
    logits = model(input_ids=torch.tensor([example.tokens])).logits[0].tolist()
    standardized = []
    for at in range(example.first_label, len(example.tokens) - example.num_trailing):
        normalizer = math.log(math.fsum(math.exp(logit) for logit in logits[at - 1]))
        log_probs = [logit - normalizer for logit in logits[at - 1]]
        mu = math.fsum(math.exp(log_prob) * log_prob for log_prob in log_probs)
        second = math.fsum(math.exp(log_prob) * log_prob**2 for log_prob in log_probs)
        sigma = math.sqrt(max(second - mu**2, 1e-6))
        standardized.append((log_probs[example.tokens[at]] - mu) / sigma)
    count = max(1, int(len(standardized) * k / 100))
    return -math.fsum(sorted(standardized)[:count]) / count


@pytest.mark.parametrize("length", [3, 9, 30])
@pytest.mark.parametrize("k", [20, 40, 100])
def test_score_is_that_of_the_full_logits(model, make_example, length, k):
    example = make_example(length, first_label=1 + length // 10, num_trailing=1, seed=length)

    (scores,) = score_items(model, [example], pad_id=0, with_spread=True)

    found = MinKPlus(k=k).of_item(MembershipEvidence(scores, compressed_bytes=1))
    assert found == pytest.approx(slow_score(model, example, k=k), rel=1e-4, abs=1e-4)


def test_score_is_the_mean_of_the_lowest_standardized_tokens(evidence):
    # z is 1, -1, -2, 0, 2 and 40 % of 5 are 2: -2 and -1.
    item = evidence(
        [-1.0, -3.0, -4.0, -2.0, -2.0], mean=[-2.0, -2.5, -3.0, -2.0, -3.0], deviation=[1.0, 0.5, 0.5, 1.0, 0.5]
    )

    assert MinKPlus().of_item(item) == pytest.approx(1.5)


def test_deviation_is_bounded_when_the_model_is_certain(evidence):
    assert MinKPlus().of_item(evidence([-0.5], mean=[0.0], deviation=[0.0])) == pytest.approx(500)


def test_score_is_undefined_when_the_spread_was_not_collected(evidence):
    with pytest.raises(UndefinedScoreError, match="spread"):
        MinKPlus().of_item(evidence([-1.0]))
