import pytest

from core.evaluation.metrics.answer_probability import AnswerProbability


def test_value_is_the_geometric_mean_of_the_tokens(evidence):
    assert AnswerProbability().of_item(evidence("11", probs=[0.9, 0.4])) == pytest.approx(0.6, rel=1e-6)


def test_value_is_zero_when_a_token_is_impossible(evidence):
    assert AnswerProbability().of_item(evidence("10", probs=[0.9, 0.0])) == 0.0


def test_set_is_the_mean_over_items():
    assert AnswerProbability().of_set([0.2, 0.4], num_tokens=[1, 9]) == pytest.approx(0.3)
