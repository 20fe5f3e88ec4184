import pytest

from core.domain.report import OverUnlearned
from core.evaluation.membership import MEMBERSHIP_SCORES
from core.packaging.membership_notes import MEMBERSHIP_NOTES, membership_note, over_unlearned_sentence, reading
from tests.unit.core.packaging.reports import make_over_unlearned, make_report, make_score


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


@pytest.mark.parametrize(
    ("names", "by"),
    [
        ([], "by Exact memorization, the model"),
        (["loss"], "by Loss and Exact memorization, the model"),
        (["loss", "min_k_plus"], "by Loss, Min-K%++ and Exact memorization, the model"),
    ],
)
def test_over_unlearning_is_said_with_what_shows_it(names, by):
    assert by in over_unlearned_sentence(make_report(over_unlearned=make_over_unlearned(*names)))


@pytest.mark.parametrize("finding", [None, OverUnlearned(scores=[], num_asked=5)])
def test_what_shows_no_over_unlearning_says_nothing(finding):
    assert over_unlearned_sentence(make_report(over_unlearned=finding)) is None
