from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.metric import UndefinedMetricError
from core.evaluation.metrics.extraction_likelihood import ExtractionLikelihood


def with_continuations(evidence, target, continuations):
    item = evidence("1" * len(target))
    scores = replace(item.scores, target=torch.tensor(target))
    return replace(item, scores=scores, continuations=[torch.tensor(tokens) for tokens in continuations])


def slow_extraction_likelihood(target, continuations, n):
    """The published formula, one n-gram at a time."""

    def ngrams(tokens):
        return [tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]

    overlaps = []
    for i in range(len(target) - n + 1):
        generated, true = ngrams(continuations[i]), ngrams(target[i:])
        overlaps.append(sum(gram in true for gram in generated) / len(generated))
    return sum(overlaps) / len(overlaps)


def test_value_by_hand(evidence):
    item = with_continuations(evidence, [1, 2, 3, 4], [[1, 2, 9, 9], [2, 3, 4], [4, 3]])

    # 12 of {12, 29, 99}: 1/3; 23, 34 of {23, 34}: 1; 43 is not in {34}: 0
    assert ExtractionLikelihood(n=2).of_item(item) == pytest.approx((1 / 3 + 1 + 0) / 3)


def test_repeated_ngrams_count_each_time(evidence):
    item = with_continuations(evidence, [1, 1, 2, 3], [[1, 1, 1, 1], [9, 9, 9], [9, 9]])

    assert ExtractionLikelihood(n=2).of_item(item) == pytest.approx((3 / 3 + 0 + 0) / 3)


def test_ngram_that_only_the_prefix_holds_does_not_count(evidence):
    item = with_continuations(evidence, [1, 2, 3, 4], [[9, 9, 9, 9], [1, 2, 9], [9, 9]])

    assert ExtractionLikelihood(n=2).of_item(item) == 0.0


@given(data=st.data(), m=st.integers(1, 12), n=st.integers(1, 4))
def test_value_equals_the_published_formula(evidence, data, m, n):
    if m < n:
        return
    token = st.integers(0, 2)
    target = data.draw(st.lists(token, min_size=m, max_size=m))
    continuations = [data.draw(st.lists(token, min_size=m - i, max_size=m - i)) for i in range(m - n + 1)]

    value = ExtractionLikelihood(n=n).of_item(with_continuations(evidence, target, continuations))

    assert value == pytest.approx(slow_extraction_likelihood(target, continuations, n))


def test_continuations_shorter_than_an_ngram_are_left_to_others(evidence):
    item = with_continuations(evidence, [1, 2, 3], [[1, 2, 3], [2, 3], [3]])

    assert ExtractionLikelihood(n=2).of_item(item) == 1.0


def test_item_that_is_too_short_has_no_value(evidence):
    with pytest.raises(UndefinedMetricError, match="fewer than 10"):
        ExtractionLikelihood().of_item(with_continuations(evidence, [1] * 9, []))


def test_item_that_nothing_was_generated_for_has_no_value(evidence):
    with pytest.raises(UndefinedMetricError, match="bound on decoded tokens"):
        ExtractionLikelihood(n=1).of_item(evidence("11"))


def test_set_is_the_mean_over_items():
    assert ExtractionLikelihood().of_set([0.0, 0.5], num_tokens=[10, 90]) == 0.25
