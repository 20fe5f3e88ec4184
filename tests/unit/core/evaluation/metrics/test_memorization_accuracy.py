from core.evaluation.metrics.memorization_accuracy import MemorizationAccuracy


def test_text_counts_each_token_that_has_a_predecessor(evidence):
    assert MemorizationAccuracy().of_item(evidence("1101")) == 3 / 4


def test_completion_counts_the_token_that_ends_it(evidence):
    assert MemorizationAccuracy().of_item(evidence("1100", trailing="1")) == 3 / 5


def test_set_is_the_mean_over_items_whatever_their_lengths():
    assert MemorizationAccuracy().of_set([0.0, 1.0], num_tokens=[1, 99]) == 0.5
