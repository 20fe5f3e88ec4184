import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.metrics.extraction_strength import ExtractionStrength


@pytest.mark.parametrize(
    ("correct", "expected"),
    [
        ("1111", 1.0),  # k = 0: the prompt is enough
        ("0111", 3 / 4),
        ("1011", 2 / 4),  # the right token before the mistake counts for nothing
        ("0001", 1 / 4),
        ("1110", 0.0),
        ("0000", 0.0),  # the published code returns 1/4 here
        ("1", 1.0),
        ("0", 0.0),
    ],
)
def test_value_is_the_share_behind_the_last_mistake(evidence, correct, expected):
    assert ExtractionStrength().of_item(evidence(correct)) == expected


@given(correct=st.text("01", min_size=1, max_size=60))
def test_value_equals_the_definition(evidence, correct):
    m = len(correct)
    k = next(k for k in range(m + 1) if "0" not in correct[k:])

    assert ExtractionStrength().of_item(evidence(correct)) == 1 - k / m


def test_trailing_tokens_do_not_count(evidence):
    assert ExtractionStrength().of_item(evidence("10", trailing="1")) == 0.0


def test_set_is_the_mean_over_items():
    assert ExtractionStrength().of_set([0.0, 0.25], num_tokens=[4, 4]) == 0.125
