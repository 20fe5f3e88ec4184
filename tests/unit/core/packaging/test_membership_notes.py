import pytest

from core.evaluation.membership import MEMBERSHIP_SCORES
from core.packaging.membership_notes import MEMBERSHIP_NOTES, membership_note, reading
from tests.unit.core.packaging.reports import make_score


def test_every_score_is_explained():
    assert MEMBERSHIP_SCORES.keys() <= MEMBERSHIP_NOTES.keys()


def test_score_without_a_note_is_shown_by_its_own_name():
    assert membership_note("new_score").title == "New score"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.51, 0.9, "still recognisable"),
        (0.5, 0.9, "not told apart"),
        (0.1, 0.49, "over-unlearned"),
        (0.1, 0.5, "not told apart"),
    ],
)
def test_reading_is_two_sided(low, high, words):
    assert reading(make_score(0.5, low=low, high=high)) == words
