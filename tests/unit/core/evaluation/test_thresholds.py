import math
from statistics import fmean, stdev

import pytest
import torch

from core.domain.policy import POLICIES, Gate, Policy
from core.evaluation.bootstrap import bootstrap_interval
from core.evaluation.evaluate import MeasuredItem, SetScores
from core.evaluation.thresholds import choose_thresholds

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
