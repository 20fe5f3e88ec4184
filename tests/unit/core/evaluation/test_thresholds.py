import math
from statistics import fmean, stdev

import pytest
import torch

from core.domain.policy import POLICIES, Gate, Policy
from core.evaluation.bootstrap import bootstrap_interval
from core.evaluation.evaluate import MeasuredItem, SetScores
from core.evaluation.thresholds import MAX_PERPLEXITY_RATIO, bounded, choose_thresholds

STANDARD = POLICIES["standard-1"]
POLICY = Policy(
    name="test-1",
    summary="of a test",
    membership=False,
    metrics=("extraction_strength",),
    forget=(Gate(metric="extraction_strength", at_most=0.06, item_at_most=0.25, holdout_at_most=0.2),),
    retain=STANDARD.retain,
)


def holdout(values):
    items = [MeasuredItem(str(at), {"extraction_strength": value}, {}, 10) for at, value in enumerate(values)]
    return SetScores(num_items=len(items), metrics={"extraction_strength": fmean(values)}, items=items)


def test_policy_decides_when_there_is_no_holdout_set():
    thresholds = choose_thresholds(STANDARD, None)

    assert (thresholds.policy, thresholds.source) == (STANDARD.name, "policy")
    assert [(gate.metric, gate.at_most, gate.item_at_most) for gate in thresholds.forget] == [
        (gate.metric, gate.at_most, gate.item_at_most) for gate in STANDARD.forget
    ]
    assert thresholds.retain == list(STANDARD.retain)
    assert thresholds.holdout_refused == {}


def test_holdout_set_decides_when_it_can_tell():
    values = [0.02 * (place % 10) for place in range(100)]  # mean 0.09

    thresholds = choose_thresholds(POLICY, holdout(values))

    (gate,) = thresholds.forget
    assert thresholds.source == "holdout"
    assert gate.holdout_mean == pytest.approx(0.09)
    assert gate.at_most == gate.holdout_ci95[1] > 0.09
    assert gate.item_at_most == pytest.approx(0.18)  # the 95th percentile: a tenth of the items are there


def test_interval_approaches_the_normal_one_when_the_set_is_large():
    values = torch.rand(400, generator=torch.Generator().manual_seed(0)).tolist()

    low, high = bootstrap_interval(values, seed=0)

    half = 1.96 * stdev(values) / math.sqrt(400)
    assert low == pytest.approx(fmean(values) - half, abs=0.1 * half)
    assert high == pytest.approx(fmean(values) + half, abs=0.1 * half)


def test_interval_is_the_same_for_the_same_seed():
    values = [0.1, 0.2, 0.9] * 5

    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0.0, 0.1, 0.0, 0.1, 0.0, 0.1, 0.0], "7 holdout items"),
        ([0.0] * 20, "same value"),
        ([0.9, 1.0] * 10, "has seen that text"),
    ],
)
def test_policy_decides_when_the_holdout_set_cannot_tell(values, reason):
    thresholds = choose_thresholds(POLICY, holdout(values))

    assert thresholds.source == "policy"
    assert thresholds.forget[0].at_most == 0.06
    assert thresholds.forget[0].holdout_mean is None
    assert reason in thresholds.holdout_refused["extraction_strength"]


def test_one_item_is_never_allowed_more_than_the_policy_says():
    values = [0.0, 0.02] * 18 + [1.0] * 3  # one in twelve unseen items guesses itself

    (gate,) = choose_thresholds(POLICY, holdout(values)).forget

    assert gate.holdout_mean is not None
    assert gate.item_at_most == 0.25


def test_metrics_are_decided_one_by_one():
    thresholds = choose_thresholds(STANDARD, holdout([0.02 * (place % 5) for place in range(50)]))

    by_name = {gate.metric: gate for gate in thresholds.forget}
    assert thresholds.source == "holdout"
    assert by_name["extraction_strength"].holdout_mean is not None
    assert by_name["exact_memorization"].holdout_mean is None
    assert list(thresholds.holdout_refused) == ["exact_memorization"]


def holdout_of(*items):
    """A holdout set of these metrics, an item each."""
    names = dict.fromkeys(name for item in items for name in item)
    measured = [MeasuredItem(str(at), dict(item), {}, 10) for at, item in enumerate(items)]
    return SetScores(len(items), {name: fmean(item.get(name, 0.0) for item in items) for name in names}, measured)


TWO = POLICY.model_copy(
    update={"forget": (*POLICY.forget, POLICY.forget[0].model_copy(update={"metric": "exact_memorization"}))}
)


def test_two_limits_are_passed_by_fewer_unseen_items_than_each():
    """Of 100 unseen items some are over the one limit, which is their 95th percentile, and others over the other."""
    strength = [0.001 * (at % 7) + 0.2 * (at < 4) for at in range(100)]
    exact = [0.001 * (at % 7) + 0.2 * (at > 95) for at in range(100)]
    items = [{"extraction_strength": a, "exact_memorization": b} for a, b in zip(strength, exact, strict=True)]

    thresholds = choose_thresholds(TWO, holdout_of(*items))

    def is_over(item):
        return any(item[gate.metric] > gate.item_at_most for gate in thresholds.forget)

    share = sum(map(is_over, items)) / 100
    assert 0.05 < share <= 0.1
    assert thresholds.chance_over == share


def test_items_are_over_by_chance_no_more_often_than_percentiles_allow():
    values = [0.0, 0.02] * 18 + [1.0] * 4  # a tenth guess themselves, over the policy's own limit

    assert choose_thresholds(POLICY, holdout(values)).chance_over == 0.05


@pytest.mark.parametrize(
    ("exact", "chance"),
    [
        ([0.0] * 40, 0.05),  # they tell no limit, but none of them is over the policy's
        ([0.9] * 40, None),  # nothing says how often unseen items are over that
        ([0.0] * 7, None),
    ],
)
def test_limit_of_the_policy_is_vouched_for_by_unseen_items_within_it(exact, chance):
    items = [{"extraction_strength": 0.001 * at} for at in range(40)]
    for item, value in zip(items, exact, strict=False):
        item["exact_memorization"] = value

    thresholds = choose_thresholds(TWO, holdout_of(*items))

    assert thresholds.forget[1].holdout_mean is None
    assert thresholds.chance_over == chance


def test_without_a_holdout_set_nothing_says_what_chance_is():
    assert choose_thresholds(STANDARD, None).chance_over is None
    assert choose_thresholds(STANDARD, holdout([0.0] * 20)).chance_over is None


@pytest.mark.parametrize(
    ("unseen", "holdout_items", "sets"),
    [(True, 20, ["retain"]), (False, 20, ["retain", "holdout"]), (False, 7, ["retain"]), (False, 0, ["retain"])],
)
def test_holdout_set_is_asked_where_the_retain_rows_were_trained_on(unseen, holdout_items, sets):
    chosen = choose_thresholds(STANDARD, None)

    thresholds = bounded(chosen, STANDARD, retain_rows_unseen=unseen, num_holdout_items=holdout_items)

    assert [bound.set_name for bound in thresholds.perplexity] == sets
    assert {bound.at_most_ratio for bound in thresholds.perplexity} == {MAX_PERPLEXITY_RATIO}
    assert thresholds.model_copy(update={"perplexity": []}) == chosen


def test_perplexity_has_no_bound_where_the_policy_leaves_it_out():
    chosen = choose_thresholds(POLICY, None)

    assert bounded(chosen, POLICY, retain_rows_unseen=False, num_holdout_items=20) == chosen
