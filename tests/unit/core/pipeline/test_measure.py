import math
from dataclasses import replace
from statistics import fmean

import pytest
import torch

from core.evaluation.evaluate import MeasuredItem, SetScores
from core.evaluation.truth_ratio import TruthRatio, TruthRatios
from core.pipeline.measure import Measurement, compared

NOTHING = SetScores(num_items=0, metrics={}, items=[])
BROKEN = "the model's scores are not finite numbers"


def with_log_ratios(**log_ratios):
    """A measurement of truth ratios alone, by item; None for an item that has none."""
    return Measurement(
        forget=NOTHING,
        retain=NOTHING,
        holdout=None,
        membership=None,
        truth=TruthRatios(
            tuple(TruthRatio(name, value, (0.0,)) for name, value in log_ratios.items() if value is not None),
            {name: BROKEN for name, value in log_ratios.items() if value is None},
        ),
        exposures=None,
        probe_ids=torch.zeros(0),
        probe_logits=torch.zeros(0),
    )


def test_truth_ratio_is_near_one_where_nothing_is_preferred():
    before, after = with_log_ratios(a=math.log(4), b=-math.log(2)), with_log_ratios(a=0.0, b=0.0)

    change = compared(before, after).truth_ratio

    assert (change.before, change.after, change.n) == (pytest.approx((1 / 4 + 1 / 2) / 2), 1.0, 2)


def test_truth_ratio_below_the_range_of_a_double_is_zero():
    change = compared(with_log_ratios(a=-800.0), with_log_ratios(a=700.0)).truth_ratio

    assert (change.before, change.after) == (0.0, pytest.approx(0.0))


def test_truth_ratio_is_over_the_items_that_every_model_has():
    before = with_log_ratios(a=0.0, b=0.0, c=0.0)
    after, reference = with_log_ratios(a=None, b=0.0, c=0.0), with_log_ratios(a=0.0, b=math.log(2), c=None)

    change = compared(before, after, reference).truth_ratio

    assert (change.n, change.reference) == (1, pytest.approx(0.5))


def test_truth_ratio_is_not_measured_where_the_reference_has_none():
    comparison = compared(with_log_ratios(a=0.0), with_log_ratios(a=0.0), with_log_ratios(a=None))

    assert comparison.truth_ratio is None
    assert comparison.not_measured["truth_ratio"] == BROKEN


def test_truth_ratio_of_no_item_is_not_measured():
    empty = replace(with_log_ratios())

    assert compared(empty, empty).not_measured["truth_ratio"] == "there is no forget item"


def with_exact_memorization(forget, holdout):
    """A measurement of one metric on two sets."""
    sets = {
        name: SetScores(
            num_items=len(values),
            metrics={"exact_memorization": fmean(values)},
            items=[MeasuredItem(f"{name}-{at}", {"exact_memorization": v}, {}, 5) for at, v in enumerate(values)],
        )
        for name, values in (("forget", forget), ("holdout", holdout))
    }
    return replace(with_log_ratios(), **sets)


def test_texts_that_are_less_known_than_unseen_ones_are_found():
    unseen = [0.2 + 0.01 * at for at in range(20)]
    before, after = (with_exact_memorization([value] * 20, unseen) for value in (0.9, 0.0))

    assert [score.name for score in compared(before, after).over_unlearned.scores] == ["exact_memorization"]
    assert compared(before, before).over_unlearned.scores == []


def test_over_unlearning_is_not_measured_without_a_holdout_set():
    assert compared(with_log_ratios(), with_log_ratios()).over_unlearned is None
    assert "no holdout set" in compared(with_log_ratios(), with_log_ratios()).not_measured["over_unlearned"]
