"""The filtered form against the formula of the paper, with its inverse written out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.unlearning.law.closed_form import LowRankEdit, Whitening, closed_form, find_ridge
from tests.unit.core.unlearning.law.conftest import low_rank, moment


def explicit(residual, keys, c, ridge):
    return residual @ keys.T @ torch.linalg.inv(ridge * c + keys @ keys.T)


@settings(max_examples=25, deadline=None)
@given(
    out=st.integers(1, 8),
    width=st.integers(1, 8),
    count=st.integers(1, 12),
    weight_norm=st.floats(0.01, 100),
    seed=st.integers(0, 99),
)
def test_edit_is_the_paper_s_formula(out, width, count, weight_norm, seed):
    c = moment(seed, width=width)
    residual, keys_t = low_rank(seed, out=out, rank=count, width=width)
    keys = keys_t.T

    edit = closed_form(residual, keys, Whitening.of(c), weight_norm=weight_norm, norm_limit=0.75)

    ridge = find_ridge(
        lambda value: float(explicit(residual, keys, c, value).norm()) / weight_norm, start=count, limit=0.75
    )
    expected = explicit(residual, keys, c, ridge)
    torch.testing.assert_close(edit.left @ edit.right, expected, rtol=1e-5, atol=1e-7 * float(expected.norm()))
    assert edit.norm == pytest.approx(float(expected.norm()), rel=1e-5)


def test_facts_with_the_same_key_share_their_residuals():
    keys = torch.tensor([[1.0, 1.0], [2.0, 2.0]])
    residual = torch.tensor([[4.0, 2.0]])

    edit = closed_form(residual, keys, Whitening.of(1e-6 * torch.eye(2)), weight_norm=3.0, norm_limit=0.75)

    torch.testing.assert_close(
        edit.of(keys.double()), torch.tensor([[3.0, 3.0]], dtype=torch.float64), rtol=1e-4, atol=0
    )


def test_disturbance_is_the_mean_square_of_what_is_added_to_kept_inputs():
    kept = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    edit = LowRankEdit(*low_rank(1, out=3, rank=2, width=4))

    disturbance = Whitening.of(kept.T @ kept / 50).disturbance(edit)

    assert disturbance == pytest.approx(float((kept @ (edit.left @ edit.right).T).square().sum(dim=1).mean()))


@pytest.mark.parametrize(("scale", "limit"), [(1.0, 0.75), (1e4, 0.75), (1e-2, 0.75), (5.0, 2.0), (5.0, 0.1)])
def test_ridge_brings_the_edit_into_the_window(scale, limit):
    ridge = find_ridge(lambda value: scale * 10 / (10 + value), start=10, limit=limit)

    assert min(1 / 3, limit / 2) <= scale * 10 / (10 + ridge) <= limit or scale < 1 / 3


def test_ridge_starts_at_the_number_of_facts():
    assert find_ridge(lambda value: 5 / value, start=10, limit=0.75) == 10


def test_smallest_ridge_is_taken_when_the_edit_cannot_be_as_large_as_the_window():
    assert find_ridge(lambda _: 0.1, start=10, limit=0.75) == pytest.approx(0.01)


def test_search_ends_when_the_norm_jumps_over_the_window():
    asked = []

    def jump(value):
        asked.append(value)
        return 10.0 if value < 1000 else 0.0

    assert find_ridge(jump, start=10, limit=0.75) == pytest.approx(1000)
    assert len(asked) < 100
