import pytest
import torch

from core.domain.report import (
    ForgetThreshold,
    ItemResult,
    MembershipResult,
    MembershipScore,
    MetricChange,
    RetainThreshold,
    SetResult,
    Thresholds,
    Verdict,
)
from core.evaluation.untouched import judge_untouched
from core.evaluation.verdict import Judgement

GATES = Thresholds(
    policy="test-1",
    source="policy",
    forget=[ForgetThreshold(metric="es", at_most=0.1, item_at_most=0.3)],
    retain=[RetainThreshold(metric="ma", at_least_ratio=0.95)],
)


def measured(**metrics):
    """Return a set of items with these metrics, each a list of one value an item."""
    count = len(next(iter(metrics.values())))
    items = [
        ItemResult(id=str(at), before={name: values[at] for name, values in metrics.items()}, after={})
        for at in range(count)
    ]
    changes = {name: MetricChange(before=sum(values) / count, after=0.0, n=count) for name, values in metrics.items()}
    return SetResult(num_items=count, num_measured=count, metrics=changes, absent={}, items=items)


UNSEEN = measured(es=[0.0, 0.05, 0.1, 0.0, 0.15] * 8, longest_correct_run=[2.0, 3.0, 4.0, 2.0, 5.0] * 8)


def recognised(low):
    score = MembershipScore(
        auc=0.7, ci95=(low, 0.9), ci95_method="delong", p_value=0.5, tpr_at_1pct_fpr=None, num_members=9, num_others=40
    )
    return MembershipResult(before={"loss": score}, after={}, reference=None, priv_leak=None, absent={})


def test_texts_that_look_like_unseen_ones_need_no_action():
    forget = measured(es=[0.0, 0.05, 0.1], longest_correct_run=[2.0, 3.0, 4.0])

    judgement = judge_untouched(forget, UNSEEN, GATES)

    assert judgement == Judgement(Verdict.NO_ACTION_NEEDED, (True, True, True), ())


def test_most_draws_of_unseen_texts_need_no_action():
    generator = torch.Generator().manual_seed(0)
    seen = 0
    for _ in range(100):
        drawn = torch.randint(40, (10,), generator=generator).tolist()
        values = {name: [UNSEEN.items[at].before[name] for at in drawn] for name in UNSEEN.metrics}
        seen += judge_untouched(measured(**values), UNSEEN, GATES) is None

    assert seen <= 15


@pytest.mark.parametrize(
    ("forget", "holdout"),
    [
        (measured(es=[0.0, 0.9]), UNSEEN),  # an item is known
        (measured(es=[0.12] * 10), UNSEEN),  # each could be chance, all of them not
        (measured(es=[0.0] * 3, longest_correct_run=[2.0, 2.0, 30.0]), UNSEEN),  # a passage in a long text
        (measured(es=[0.0, 0.0]), None),  # nothing says what unseen texts look like
        (measured(es=[0.0, 0.0]), measured(es=[0.0] * 7)),  # too little says it
        (measured(es=[0.0, 0.0]), measured(es=[0.9] * 8)),  # the model has seen the holdout set
        (measured(other=[0.0, 0.0]), measured(other=[0.0] * 8)),  # the metric of a gate was not measured
    ],
)
def test_action_is_needed_where_something_is_known_or_nobody_can_tell(forget, holdout):
    assert judge_untouched(forget, holdout, GATES) is None


@pytest.mark.parametrize(("low", "needed"), [(0.51, True), (0.49, False)])
def test_texts_that_membership_inference_recognises_need_action(low, needed):
    judgement = judge_untouched(measured(es=[0.0] * 9), UNSEEN, GATES, recognised(low))

    assert (judgement is None) is needed
