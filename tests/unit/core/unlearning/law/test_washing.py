"""The closed form of the ascent against the ascent, step by step, with its gradient taken by autograd."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.unlearning.law.closed_form import LowRankEdit, Whitening
from core.unlearning.law.washing import wash
from tests.unit.core.unlearning.law.conftest import low_rank, moment


def slow_ascent(d0, keys, c, *, beta_ratio, steps):
    """Gradient ascent in the metric of C, and after each step the radial projection of the published code."""
    inverse = torch.linalg.inv(c)
    limit = beta_ratio * torch.trace(d0 @ c @ d0.T) / torch.trace(c)
    strongest = torch.linalg.eigvals(keys @ keys.T @ inverse).real.max()
    d = d0.clone()
    for _ in range(steps):
        d.requires_grad_(True)
        (gradient,) = torch.autograd.grad((d @ keys).square().sum() / 2, d)
        d = d.detach() + 0.01 / strongest * gradient @ inverse
        ratio = torch.trace(d @ c @ d.T) / torch.trace(c)
        if ratio > limit:
            d = d * (limit / ratio).sqrt()
    return d


@settings(max_examples=25, deadline=None)
@given(
    rank=st.integers(1, 4),
    width=st.integers(2, 7),
    count=st.integers(1, 9),
    steps=st.sampled_from([0, 1, 3, 40]),
    beta_ratio=st.sampled_from([1.0, 1.1, 50.0]),
    seed=st.integers(0, 99),
)
def test_ascent_equals_the_slow_loop(rank, width, count, steps, beta_ratio, seed):
    c, initial = moment(seed, width=width), LowRankEdit(*low_rank(seed, out=5, rank=rank, width=width))
    keys = low_rank(seed + 1, out=1, rank=count, width=width)[1].T

    washed = wash(initial, keys, Whitening.of(c), beta_ratio=beta_ratio, steps=steps)

    expected = slow_ascent(initial.left @ initial.right, keys, c, beta_ratio=beta_ratio, steps=steps)
    torch.testing.assert_close(washed.left @ washed.right, expected, rtol=1e-6, atol=1e-9)


def test_effect_grows_with_the_steps_within_the_limit_and_without_more_rank():
    c, initial = moment(0, width=8), LowRankEdit(*low_rank(1, out=6, rank=2, width=8))
    keys, whitening = low_rank(2, out=1, rank=3, width=8)[1].T, Whitening.of(c)

    washed = [wash(initial, keys, whitening, beta_ratio=1.1, steps=steps) for steps in (0, 10, 50, 250)]

    effects = [float(edit.of(keys).norm()) for edit in washed]
    assert effects == sorted(effects)
    assert effects[-1] > 1.05 * effects[0]
    limit = 1.1 * whitening.disturbance(initial)
    assert all(whitening.disturbance(edit) <= limit * (1 + 1e-9) for edit in washed)
    assert all(edit.left.shape[1] == 2 for edit in washed)


def test_no_edit_stays_none():
    nothing = LowRankEdit(torch.zeros(3, 1, dtype=torch.float64), torch.zeros(1, 4, dtype=torch.float64))

    washed = wash(nothing, torch.zeros(4, 2), Whitening.of(moment(0, width=4)), beta_ratio=1.1, steps=5)

    assert washed.norm == pytest.approx(0.0)
