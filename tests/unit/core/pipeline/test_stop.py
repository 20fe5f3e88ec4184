import pytest
import torch

from core.domain.policy import POLICIES
from core.domain.report import ForgetThreshold, RetainThreshold, Thresholds
from core.modeling.base_model import load_base_model
from core.pipeline.measure import Measure
from core.pipeline.sets import encode_sets, encoder_of
from core.pipeline.stop import StopRule
from tests.fakes.job_monitor import FakeJobMonitor


@pytest.fixture
def rule(base_path, make_task):
    base = load_base_model(base_path, device=torch.device("cpu"))
    sets = encode_sets(make_task(), base)
    before = Measure(POLICIES["standard-1"], sets, encoder_of(make_task(), base), seed=0)(base)

    def make(*, at_most=1.0, item_at_most=1.0, ratio=0.5, metric="exact_memorization"):
        thresholds = Thresholds(
            policy="p",
            source="policy",
            forget=[ForgetThreshold(metric=metric, at_most=at_most, item_at_most=item_at_most)],
            retain=[RetainThreshold(metric="answer_probability", at_least_ratio=ratio)],
        )
        return StopRule(base, sets.forget, sets.retain_measured, thresholds, before, FakeJobMonitor())

    return make


def test_over_the_forget_threshold_the_retain_set_is_not_asked(rule):
    check = rule(at_most=-0.1)()
    assert not check.forgotten
    assert check.margin is None
    assert list(check.metrics) == ["forget_exact_memorization"]


def test_an_item_over_its_own_limit_counts_as_in_the_verdict(rule):
    assert not rule(item_at_most=-0.1)().forgotten


def test_forgotten_and_kept(rule):
    check = rule()()
    assert check.margin == pytest.approx(0.5)  # nothing was trained, so all of it is kept
    assert check.passes
    assert check.reached


def test_aims_halfway_between_the_gate_and_no_loss(rule):
    assert rule(ratio=0.9)().aim == pytest.approx(0.05)


def test_forgotten_but_not_kept(rule):
    check = rule(ratio=1.1)()
    assert check.forgotten
    assert not check.passes


def test_what_was_nothing_before_cannot_be_kept(rule):
    stop = rule()
    stop.before.retain.metrics["answer_probability"] = 0.0
    assert not stop().passes


def test_history_hears_of_each_check(rule):
    stop = rule()
    check = stop()
    assert stop.monitor.measured == [("stop check", check.metrics)]


def test_while_the_set_is_over_its_limits_the_rows_above_them_remain_and_then_the_outliers(rule):
    stop = rule(metric="answer_probability")
    values = [item.values["answer_probability"] for item in stop.before.forget.items]
    low, high = min(values), max(values)
    over = tuple(place for place, value in enumerate(values) if value > low)
    assert over

    def remaining(at_most, item_at_most):
        return rule(at_most=at_most, item_at_most=item_at_most, metric="answer_probability")().remaining

    assert remaining(low, high) == over  # the mean is over: so are all above the limit
    assert remaining(high, low) == over  # the mean is not: the outliers alone
    assert remaining(high, high) == ()
