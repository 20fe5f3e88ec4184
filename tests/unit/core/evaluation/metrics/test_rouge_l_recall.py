import dataclasses
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.metric import Evidence, Texts, UndefinedMetricError
from core.evaluation.metrics.rouge_l_recall import RougeLRecall

# Up to three letters, which no stemmer touches.
WORDS = st.lists(st.sampled_from(["a", "cat", "sat", "on", "the", "mat"]), max_size=8)


def recall(evidence, predicted, true):
    return RougeLRecall().of_item(Evidence(evidence().scores, texts=Texts(predicted=predicted, true=true)))


def slow_lcs(one, other):
    """The longest common subsequence by its definition, from the front."""

    @cache
    def longest(i, j):
        if i == len(one) or j == len(other):
            return 0
        if one[i] == other[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    return longest(0, 0)


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ("the cat sat", "the cat sat", 1.0),
        ("the big cat, it sat", "The cat sat.", 1.0),  # other words may stand between
        ("sat the cat", "the cat sat", 2 / 3),  # but not another order
        ("she walks", "she walked", 1.0),  # one stem
        ("dog", "the cat sat", 0.0),
        ("", "the cat sat", 0.0),
        ("room 42", "Room 42-B", 2 / 3),
    ],
)
def test_value_is_the_share_of_the_true_words_that_are_written_in_order(evidence, predicted, true, expected):
    assert recall(evidence, predicted, true) == pytest.approx(expected)


@given(predicted=WORDS, true=WORDS.filter(bool))
def test_value_equals_the_definition(evidence, predicted, true):
    assert recall(evidence, " ".join(predicted), " ".join(true)) == pytest.approx(slow_lcs(predicted, true) / len(true))


def test_completion_without_a_word_of_latin_letters_has_no_value(evidence):
    with pytest.raises(UndefinedMetricError, match="Latin"):
        recall(evidence, "Осло", "Осло")


def test_text_has_no_value(evidence):
    scores = dataclasses.replace(evidence().scores, prompted=False)

    with pytest.raises(UndefinedMetricError, match="no prompt"):
        RougeLRecall().of_item(Evidence(scores, texts=Texts("a", "a")))


def test_item_that_was_not_decoded_has_no_value(evidence):
    with pytest.raises(UndefinedMetricError, match="not decoded"):
        RougeLRecall().of_item(evidence())


def test_set_is_the_mean_over_items():
    assert RougeLRecall().of_set([0.2, 0.4], num_tokens=[1, 9]) == pytest.approx(0.3)
