from core.evaluation.metrics.exact_memorization import ExactMemorization


def test_content_tokens_alone_are_counted(evidence):
    assert ExactMemorization().of_item(evidence("1100", trailing="11")) == 2 / 4


def test_set_is_the_mean_over_items_whatever_their_lengths():
    assert ExactMemorization().of_set([0.0, 1.0], num_tokens=[1, 99]) == 0.5
