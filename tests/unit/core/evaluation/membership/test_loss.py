import pytest

from core.evaluation.membership.loss import Loss


def test_score_is_the_mean_negative_log_probability(evidence):
    assert Loss().of_item(evidence([-0.5, -1.0, -3.0])) == pytest.approx(1.5)


def test_score_is_higher_when_the_model_is_more_surprised(evidence):
    assert Loss().of_item(evidence([-2.0])) > Loss().of_item(evidence([-1.0]))
