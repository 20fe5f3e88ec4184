import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.membership.loss import Loss
from core.evaluation.membership.min_k import MinK

LOG_PROBS = st.lists(st.floats(-20, 0, width=32), min_size=1, max_size=30)


def test_score_is_the_mean_loss_of_the_least_probable_tokens(evidence):
    # 40 % of 5 tokens are 2: -4 and -3.
    assert MinK().of_item(evidence([-0.1, -4.0, -1.0, -3.0, -0.2])) == pytest.approx(3.5)


def test_share_is_rounded_down(evidence):
    # 40 % of 7 tokens are 2.8.
    assert MinK().of_item(evidence([-7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0])) == pytest.approx(6.5)


def test_one_token_counts_when_the_item_is_short(evidence):
    assert MinK().of_item(evidence([-1.0, -2.0])) == pytest.approx(2.0)


@given(log_prob=LOG_PROBS)
def test_score_of_all_tokens_is_the_loss(evidence, log_prob):
    item = evidence(log_prob)

    assert MinK(k=100).of_item(item) == pytest.approx(Loss().of_item(item), abs=1e-9)


@given(log_prob=LOG_PROBS)
def test_score_is_never_below_the_loss(evidence, log_prob):
    item = evidence(log_prob)

    assert MinK().of_item(item) >= Loss().of_item(item) - 1e-9
