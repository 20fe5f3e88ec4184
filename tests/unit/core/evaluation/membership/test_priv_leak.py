import pytest

from core.evaluation.membership.priv_leak import priv_leak
from core.evaluation.membership.score import UndefinedScoreError


@pytest.mark.parametrize(
    ("auc", "reference_auc", "expected"),
    [
        (0.5, 0.5, 0.0),
        (1.0, 0.5, -100.0),  # every forget item looks like training data
        (0.0, 0.5, 100.0),
        (0.7, 0.6, -25.0),  # (0.3 - 0.4) / 0.4
        (0.3, 0.2, -12.5),  # (0.7 - 0.8) / 0.8
    ],
)
def test_leak_is_the_relative_change_of_what_is_left(auc, reference_auc, expected):
    assert priv_leak(auc, reference_auc=reference_auc) == pytest.approx(expected)


def test_leak_is_undefined_when_there_is_no_reference():
    with pytest.raises(UndefinedScoreError, match="reference model"):
        priv_leak(0.7, reference_auc=None)


def test_leak_is_undefined_when_the_reference_leaves_no_room():
    with pytest.raises(UndefinedScoreError, match=r"0\.960.*unstable"):
        priv_leak(0.7, reference_auc=0.96)
