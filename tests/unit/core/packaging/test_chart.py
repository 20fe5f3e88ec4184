import re

import pytest

from core.domain.report import MetricChange, RetainThreshold, SetResult, Thresholds, TrajectoryPoint
from core.packaging.chart import Limit, attack_chart, change_chart, check_series, loss_series, trajectory_charts
from tests.unit.core.packaging.reports import make_attack, make_outcome, make_report

THRESHOLDS = make_report().thresholds
CHECKED = [
    TrajectoryPoint(step=5, forget_loss=1.0, retain_loss=0.2, forget_metrics={"forget_extraction_strength": 0.5}),
    TrajectoryPoint(step=6, forget_loss=None, retain_loss=0.1),
    TrajectoryPoint(
        step=10,
        forget_loss=0.5,
        retain_loss=0.1,
        forget_metrics={"forget_extraction_strength": 0.05, "retain_memorization_accuracy_share": 0.97},
    ),
]


def a_set(**metrics):
    return SetResult(num_items=3, num_measured=3, metrics=metrics, absent={}, items=[])


def test_checks_have_the_limits_of_their_gates():
    strength, share = check_series(CHECKED, THRESHOLDS)

    assert strength.title == "Extraction strength, forget set"
    assert strength.points == [(5, 0.5), (10, 0.05)]
    assert strength.limit == Limit(0.081, is_upper=True)
    assert share.title == "Memorization accuracy, retain set, share of before"
    assert share.limit == Limit(0.95, is_upper=False)


def test_check_without_a_gate_has_no_limit():
    thresholds = Thresholds(policy="p", source="policy", forget=[], retain=[])

    assert [series.limit for series in check_series(CHECKED, thresholds)] == [None, None]


def test_step_without_a_loss_is_no_point():
    forget, retain = loss_series(CHECKED)

    assert forget.points == [(5, 1.0), (10, 0.5)]
    assert len(retain.points) == 3


def test_trajectory_draws_what_has_two_points():
    checks, losses = trajectory_charts(CHECKED, THRESHOLDS)

    assert "Extraction strength, forget set: 0.500 at 5 training steps, 0.050 at 10; limit at most 0.081." in checks.svg
    assert "retain set" not in checks.description  # asked once
    assert "Forget loss: 1.000 at 5 training steps, 0.500 at 10." in losses.description


def test_trajectory_without_two_points_is_not_drawn():
    assert trajectory_charts(CHECKED[:1], THRESHOLDS) == []


def test_change_is_drawn_with_its_interval_reference_and_limit():
    change = MetricChange(before=0.9, after=0.1, n=3, before_ci95=(0.8, 1.0), after_ci95=(0.0, 0.2), reference=0.05)

    chart = change_chart(
        "forget", a_set(answer_probability=change), {"answer_probability": Limit(0.3, is_upper=True)}, has_after=True
    )

    assert chart.description == (
        "Answer probability: before 0.900 (0.800 to 1.000), after 0.100 (0.000 to 0.200), reference 0.050, "
        "limit at most 0.300."
    )
    assert [word for word in ("Before", "After", "Reference", "Limit") if f">{word}</text>" not in chart.svg] == []


def test_measurement_alone_has_no_after():
    chart = change_chart(
        "forget", a_set(answer_probability=MetricChange(before=0.1, after=0.1, n=3)), {}, has_after=False
    )

    assert chart.title == "The forget set"
    assert ">Measured</text>" in chart.svg
    assert ">After</text>" not in chart.svg


@pytest.mark.parametrize("after", [3.0, 22.0, 6000.0])
def test_metric_that_is_no_share_has_an_axis_of_its_own(after):
    chart = change_chart(
        "forget",
        a_set(
            answer_probability=MetricChange(before=0.9, after=0.1, n=3),
            perplexity=MetricChange(before=1.5, after=after, n=3),
        ),
        {},
        has_after=True,
    )

    texts = re.findall(r"<text[^>]*>([^<]*)</text>", chart.svg)
    assert {"0.0", "1.0", "Perplexity"} <= set(texts)
    assert "math" not in chart.svg
    assert len(texts) < 30


def test_set_without_metrics_is_not_drawn():
    assert change_chart("forget", a_set(), {}, has_after=True) is None


def test_course_of_an_attack_is_drawn_against_the_reference():
    limits = {"extraction_strength": Limit(0.081, is_upper=True)}

    chart = attack_chart("attack-0", make_attack(), limits, effort="steps")

    assert "This model: 0.051 at 0 steps, 0.445 at 20; limit at most 0.081." in chart.description
    assert "Reference, which never saw the items: 0.011 at 0 steps, 0.077 at 20." in chart.description


def test_course_of_an_attack_is_drawn_against_unseen_texts_where_there_is_no_reference():
    control = make_outcome({"other": 0.2}, course=(0.02, 0.1, 0.2))

    chart = attack_chart("attack-0", make_attack(reference=None, control=control), {}, effort="steps")

    assert "Other texts, which this model never saw: 0.020 at 0 steps, 0.200 at 20." in chart.description
    assert "Reference" not in chart.description


@pytest.mark.parametrize("attacked", [None, make_outcome({"one": 0.5}), make_outcome({"one": 0.5}, course=(0.5,))])
def test_attack_without_a_course_is_not_drawn(attacked):
    assert attack_chart("attack-0", make_attack(attacked=attacked), {}, effort="steps") is None


def test_limits_are_said_as_they_are_meant():
    gate = RetainThreshold(metric="memorization_accuracy", at_least_ratio=0.95)

    assert Limit(gate.at_least_ratio, is_upper=False).words == "limit at least 0.950"
