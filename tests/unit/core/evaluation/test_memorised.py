import pytest

from core.domain.report import ForgetThreshold, Thresholds
from core.evaluation.memorised import is_memorised

THRESHOLDS = Thresholds(
    policy="standard-1",
    source="policy",
    forget=[
        ForgetThreshold(metric="extraction_strength", at_most=0.08, item_at_most=0.3),
        ForgetThreshold(metric="exact_memorization", at_most=0.6, item_at_most=0.8),
    ],
    retain=[],
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"extraction_strength": 0.9, "exact_memorization": 0.9}, True),
        ({"extraction_strength": 0.31, "exact_memorization": 0.1}, True),
        ({"extraction_strength": 0.3, "exact_memorization": 0.8}, False),
        ({"extraction_strength": 0.9}, True),
        ({"extraction_strength": 0.1}, None),
        ({}, None),
        ({"answer_probability": 1.0, "extraction_strength": 0.0, "exact_memorization": 0.0}, False),
    ],
)
def test_one_metric_over_its_limit_is_enough_and_an_absent_one_leaves_it_open(values, expected):
    assert is_memorised(values, THRESHOLDS) is expected


def test_without_limits_nothing_can_be_said():
    assert is_memorised({"extraction_strength": 1.0}, THRESHOLDS.model_copy(update={"forget": []})) is None
