import pytest

from core.evaluation.metric import UndefinedMetricError
from core.evaluation.metrics.perplexity import Perplexity


def test_value_is_one_over_the_geometric_mean(evidence):
    assert Perplexity().of_item(evidence("11", probs=[0.25, 1.0])) == pytest.approx(2.0, rel=1e-6)


def test_set_weighs_items_by_their_tokens():
    # one token at 1/2, three at 1/8: 2^((1 + 9)/4)
    assert Perplexity().of_set([2.0, 8.0], num_tokens=[1, 3]) == pytest.approx(2**2.5)


def test_value_is_undefined_when_a_token_is_impossible(evidence):
    with pytest.raises(UndefinedMetricError):
        Perplexity().of_item(evidence("10", probs=[0.9, 0.0]))
