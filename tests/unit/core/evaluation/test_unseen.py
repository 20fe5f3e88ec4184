import pytest

from core.domain.report import (
    ForgetThreshold,
    ItemResult,
    MembershipResult,
    MembershipScore,
    MetricChange,
    SetResult,
    Thresholds,
)
from core.evaluation.unseen import looks_unseen

GATES = Thresholds(
    policy="test-1",
    source="policy",
    forget=[ForgetThreshold(metric="es", at_most=0.1, item_at_most=0.3)],
    retain=[],
)


def measured(before, after):
    items = [
        ItemResult(id=str(at), before={"es": old}, after={} if new is None else {"es": new})
        for at, (old, new) in enumerate(zip(before, after, strict=True))
    ]
    change = MetricChange(before=sum(before) / len(before), after=0.0, n=len(before))
    return SetResult(num_items=len(items), num_measured=len(items), metrics={"es": change}, absent={}, items=items)


# What the adapter makes of it is another question: its limits are those of the base model.
HOLDOUT = measured([0.0, 0.05, 0.1, 0.0, 0.15] * 8, [0.9] * 40)


def score(low):
    return MembershipScore(
        auc=0.7, ci95=(low, 0.9), ci95_method="delong", p_value=0.5, tpr_at_1pct_fpr=None, num_members=9, num_others=40
    )


@pytest.mark.parametrize(
    ("after", "unseen"), [([0.0, 0.1], True), ([0.0, 0.9], False), ([0.12] * 10, False), ([0.0, None], False)]
)
def test_texts_are_asked_about_as_they_are_at_that_moment(after, unseen):
    forget = measured([0.9] * len(after), after)

    assert looks_unseen(forget, HOLDOUT, GATES, when="after") is unseen
    assert not looks_unseen(forget, HOLDOUT, GATES, when="before")


@pytest.mark.parametrize(("low", "unseen"), [(0.51, False), (0.49, True)])
def test_membership_is_that_of_the_moment(low, unseen):
    membership = MembershipResult(
        before={"loss": score(0.9)}, after={"loss": score(low)}, reference=None, priv_leak=None, absent={}
    )

    assert looks_unseen(measured([0.0] * 9, [0.0] * 9), HOLDOUT, GATES, membership, when="after") is unseen
