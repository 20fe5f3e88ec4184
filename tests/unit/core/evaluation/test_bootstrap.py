from dataclasses import dataclass
from statistics import fmean, median, pstdev
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.bootstrap import bootstrap_interval, difference_interval, metric_interval
from core.evaluation.metrics import METRICS

VALUES = [0.0, 0.1, 0.1, 0.3, 0.4, 0.4, 0.6, 1.0]


@dataclass(frozen=True)
class Median:
    """An aggregate that is no mean, though it may equal one."""

    is_mean: ClassVar[bool] = False
    shortest_continuation: ClassVar[None] = None

    def of_item(self, evidence):
        raise NotImplementedError

    def of_set(self, values, *, num_tokens):
        return median(values)


@pytest.mark.parametrize("name", METRICS)
@given(pairs=st.lists(st.tuples(st.floats(1.0, 50.0), st.integers(1, 99)), min_size=2, max_size=9))
def test_a_metric_says_whether_it_is_a_mean(name, pairs):
    values, num_tokens = [value for value, _ in pairs], [count for _, count in pairs]

    found = METRICS[name].of_set(values, num_tokens=num_tokens)

    assert not METRICS[name].is_mean or found == fmean(values)


def test_perplexity_is_no_mean():
    assert [name for name, metric in METRICS.items() if not metric.is_mean] == ["perplexity"]


def test_interval_of_a_mean_is_that_of_its_values():
    found = metric_interval(METRICS["extraction_strength"], VALUES, num_tokens=[3] * 8, seed=0)

    assert found == bootstrap_interval(VALUES, seed=0)
    assert found[0] < fmean(VALUES) < found[1]


def test_interval_of_another_aggregate_is_of_its_own_resamples_even_where_it_equals_the_mean():
    symmetric = [0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert median(symmetric) == fmean(symmetric)

    found = metric_interval(Median(), symmetric, num_tokens=[3] * 8, seed=0)

    assert set(found) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert found != bootstrap_interval(symmetric, seed=0)


def test_interval_of_the_difference_to_a_constant_is_that_of_the_mean_moved_by_it():
    low, high = bootstrap_interval(VALUES, seed=0)

    assert difference_interval(VALUES, [0.25] * 3, seed=0) == pytest.approx((low - 0.25, high - 0.25))


def test_interval_of_a_difference_is_as_wide_as_both_sides_vary_together():
    """Against the normal approximation, which holds for means of many values."""
    ours, theirs = VALUES * 50, [0.0, 1.0] * 100
    variance = sum(pstdev(values) ** 2 / len(values) for values in (ours, theirs))

    low, high = difference_interval(ours, theirs, seed=0)

    assert (low + high) / 2 == pytest.approx(fmean(ours) - fmean(theirs), abs=0.002)
    assert high - low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.03)
