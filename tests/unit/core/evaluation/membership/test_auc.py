import itertools
import math
from statistics import NormalDist, fmean, pvariance, variance

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.membership.auc import auc, delong_variance, interval, tpr_at_1pct_fpr, two_sided_p

# Few distinct values, so that ties are common.
SCORES = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=12)


def won(member, other):
    return 1.0 if other > member else 0.5 if other == member else 0.0


def slow_auc(members, others):
    return fmean(won(member, other) for member, other in itertools.product(members, others))


def slow_variance(members, others):
    """The structural components of DeLong et al., each a loop over the other set."""
    of_members = [fmean(won(member, other) for other in others) for member in members]
    of_others = [fmean(won(member, other) for member in members) for other in others]
    return variance(of_members) / len(members) + variance(of_others) / len(others)


def normal(count, *, seed, shift=0.0):
    return (torch.randn(count, generator=torch.Generator().manual_seed(seed)) + shift).tolist()


def shift_of(true_auc):
    """By how much two normal distributions of unit variance differ that have this AUC."""
    return math.sqrt(2) * NormalDist().inv_cdf(true_auc)


@given(members=SCORES, others=SCORES)
def test_auc_equals_a_loop_over_all_pairs(members, others):
    assert auc(members, others) == pytest.approx(slow_auc(members, others), abs=1e-12)


@given(members=SCORES, others=SCORES)
def test_auc_is_one_minus_itself_when_the_sets_change_places(members, others):
    assert auc(others, members) == pytest.approx(1 - auc(members, others), abs=1e-12)


@given(members=SCORES, others=SCORES)
def test_auc_only_asks_for_the_order(members, others):
    assert auc([math.exp(x) for x in members], [math.exp(x) for x in others]) == auc(members, others)


@pytest.mark.parametrize(
    ("members", "expected"), [([1.0, 2.0], 1.0), ([5.0, 6.0], 0.0), ([3.0, 4.0], 0.5), ([1.0, 5.0], 0.5)]
)
def test_auc_is_never_folded(members, expected):
    assert auc(members, [3.0, 4.0]) == expected


@given(members=SCORES, others=SCORES)
def test_variance_equals_the_slow_formula(members, others):
    assert delong_variance(members, others) == pytest.approx(slow_variance(members, others), abs=1e-12)


def test_variance_is_that_of_a_bootstrap():
    members, others = normal(60, seed=0), normal(90, seed=1, shift=1.0)
    generator = torch.Generator().manual_seed(2)
    wins = (torch.tensor(others)[None, :] > torch.tensor(members)[:, None]).double()  # (60, 90)
    drawn = []
    for _ in range(4000):
        rows, columns = (torch.randint(size, (size,), generator=generator) for size in wins.shape)
        drawn.append(float(wins[rows][:, columns].mean()))

    # 4000 draws of a standard deviation are off by 1.1 %; the bootstrap's own bias is of the order of 1/60.
    assert math.sqrt(delong_variance(members, others)) == pytest.approx(math.sqrt(pvariance(drawn)), rel=0.05)


@given(members=SCORES, others=SCORES)
def test_interval_holds_the_auc_and_has_a_width(members, others):
    found = interval(members, others)

    assert 0 <= found.low <= auc(members, others) <= found.high <= 1
    assert found.low < found.high


@given(members=SCORES, others=SCORES)
def test_interval_is_mirrored_when_the_sets_change_places(members, others):
    found, mirrored = interval(members, others), interval(others, members)

    assert mirrored.method == found.method
    assert mirrored[:2] == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)


@given(members=SCORES, others=SCORES)
def test_interval_is_delongs_wherever_it_has_a_variance(members, others):
    assert (interval(members, others).method == "delong") == (slow_variance(members, others) > 1e-15)


def test_interval_is_the_plain_one_when_the_sets_are_large():
    members, others = normal(4000, seed=0), normal(4000, seed=1, shift=0.3)

    found = interval(members, others)

    half = 1.96 * math.sqrt(delong_variance(members, others))
    assert found[:2] == pytest.approx((auc(members, others) - half, auc(members, others) + half), abs=0.01 * half)


@pytest.mark.parametrize(("size", "true_auc"), [(8, 0.8), (8, 0.99), (20, 0.5), (20, 0.95), (100, 0.95)])
def test_interval_covers_the_truth_in_nineteen_of_twenty_draws(size, true_auc):
    draws = [
        interval(normal(size, seed=seed), normal(size, seed=10_000 + seed, shift=shift_of(true_auc)))
        for seed in range(1000)
    ]

    # Nominal is 0.95; 1000 draws of that have a standard deviation of 0.007.
    assert fmean(found.low <= true_auc <= found.high for found in draws) >= 0.93


def test_plain_interval_would_miss_the_truth_more_often():
    covered = []
    for seed in range(1000):
        members, others = normal(20, seed=seed), normal(20, seed=10_000 + seed, shift=shift_of(0.95))
        covered.append(abs(auc(members, others) - 0.95) <= 1.96 * math.sqrt(delong_variance(members, others)))

    assert fmean(covered) == pytest.approx(0.84, abs=0.03)


def test_interval_is_clopper_and_pearsons_when_the_sets_are_apart():
    found = interval([1.0] * 9 + [2.0], [3.0] * 40)

    # Of 10 pairs 10: the least p of which that happens in 2.5 % of draws solves p^10 = 0.025.
    assert (found.high, found.method) == (1.0, "clopper_pearson")
    assert found.low**10 == pytest.approx(0.025)


def test_interval_leaves_both_sides_open_when_all_scores_are_equal():
    found = interval([1.0] * 10, [1.0] * 40)

    # Ties have at least the probability t with t^10 = 0.05, and all other pairs may be on one side.
    assert found.method == "clopper_pearson"
    assert (2 * found.low) ** 10 == pytest.approx(0.05)
    assert found.low + found.high == pytest.approx(1.0)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_p_is_that_of_all_permutations(shift):
    members, others = normal(7, seed=3), normal(7, seed=4, shift=shift)
    pooled = members + others
    observed = abs(auc(members, others) - 0.5)
    extreme = []
    for places in itertools.combinations(range(14), 7):
        chosen = [pooled[place] for place in places]
        rest = [pooled[place] for place in range(14) if place not in places]
        extreme.append(abs(auc(chosen, rest) - 0.5) >= observed - 1e-12)

    assert two_sided_p(members, others) == pytest.approx(fmean(extreme), abs=0.015)


@given(members=SCORES, others=SCORES)
def test_p_is_the_same_when_the_sets_change_places(members, others):
    assert 0 <= two_sided_p(members, others) <= 1
    assert two_sided_p(others, members) == pytest.approx(two_sided_p(members, others), abs=1e-9)


def test_p_is_small_on_either_side():
    low, high = [float(x) for x in range(30)], [float(x) for x in range(50, 80)]

    assert two_sided_p(low, high) == two_sided_p(high, low) < 1e-9


def test_p_is_one_when_all_scores_are_equal():
    assert two_sided_p([1.0] * 5, [1.0] * 5) == 1.0


@given(members=SCORES, others=st.lists(st.integers(-4, 4).map(float), min_size=100, max_size=250))
@settings(max_examples=30)
def test_rate_is_that_of_the_best_threshold_with_at_most_one_percent_false_alarms(members, others):
    found = tpr_at_1pct_fpr(members, others)

    allowed = [
        fmean(member <= threshold for member in members)
        for threshold in [-math.inf, *members, *others]
        if sum(other <= threshold for other in others) * 100 <= len(others)
    ]
    assert found == max(allowed)


def test_rate_counts_members_below_the_second_lowest_of_a_hundred():
    others = [float(x) for x in range(100)]

    assert tpr_at_1pct_fpr([-1.0, 0.5, 1.0, 50.0], others) == 0.5


def test_rate_is_absent_when_the_others_are_too_few_for_one_percent():
    assert tpr_at_1pct_fpr([0.0], [1.0] * 99) is None
