import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.metrics.longest_correct_run import LongestCorrectRun


@pytest.mark.parametrize(
    ("correct", "expected"),
    [("1111", 4), ("0110", 2), ("1011", 2), ("110111010", 3), ("0000", 0), ("1", 1), ("0", 0)],
)
def test_value_is_the_longest_passage_without_a_mistake(evidence, correct, expected):
    assert LongestCorrectRun().of_item(evidence(correct)) == expected


@given(correct=st.text("01", min_size=1, max_size=60))
def test_value_equals_the_definition(evidence, correct):
    passages = [correct[a:b] for a in range(len(correct)) for b in range(a, len(correct) + 1)]

    assert LongestCorrectRun().of_item(evidence(correct)) == max(len(p) for p in passages if "0" not in p)


def test_trailing_tokens_do_not_count(evidence):
    assert LongestCorrectRun().of_item(evidence("01", trailing="1")) == 1


def test_set_is_the_mean_over_items():
    assert LongestCorrectRun().of_set([1.0, 4.0], num_tokens=[4, 4]) == 2.5
