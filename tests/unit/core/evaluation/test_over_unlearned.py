import pytest
import torch

from core.domain.report import ItemResult, MembershipResult, MembershipScore, MetricChange, SetResult
from core.evaluation.membership.auc import auc, interval, two_sided_p
from core.evaluation.metric import UndefinedMetricError
from core.evaluation.over_unlearned import COMPARED, holm, over_unlearned

KNOWN = [0.9 + 0.001 * at for at in range(40)]
UNSEEN = [0.1 + 0.01 * at for at in range(40)]
LESS = [0.001 * at for at in range(40)]


def measured(before, after, *, metrics=("exact_memorization",)):
    items = [
        ItemResult(id=str(at), before=dict.fromkeys(metrics, old), after=dict.fromkeys(metrics, new))
        for at, (old, new) in enumerate(zip(before, after, strict=True))
    ]
    changes = {name: MetricChange(before=0.0, after=0.0, n=len(items)) for name in metrics}
    return SetResult(num_items=len(items), num_measured=len(items), metrics=changes, absent={}, items=items)


HOLDOUT = measured(UNSEEN, UNSEEN)


def score(low, high, *, p_value=1e-6):
    return MembershipScore(
        auc=(low + high) / 2,
        ci95=(low, high),
        ci95_method="delong",
        p_value=p_value,
        tpr_at_1pct_fpr=None,
        num_members=40,
        num_others=40,
    )


def membership(after, *, before=None, reference=None):
    return MembershipResult(
        before={name: before or score(0.9, 1.0) for name in after},
        after=after,
        reference=None if reference is None else dict.fromkeys(after, reference),
        priv_leak=None,
        absent={},
    )


def found(forget, holdout=HOLDOUT, membership=None):
    return [(score.kind, score.name) for score in over_unlearned(forget, holdout, membership).scores]


def test_memory_pushed_below_that_of_unseen_texts_is_found():
    result = over_unlearned(measured(KNOWN, LESS), HOLDOUT, None)

    (under,) = result.scores
    assert (under.kind, under.name, under.auc, result.num_asked) == ("metric", "exact_memorization", 0.0, 1)
    assert under.ci95[1] < 0.5


@pytest.mark.parametrize("after", [UNSEEN, KNOWN])
def test_memory_like_that_of_unseen_texts_or_above_is_none(after):
    assert found(measured(KNOWN, after)) == []


def test_metric_is_compared_by_the_same_numbers_as_a_membership_score():
    after = [value * 0.7 for value in UNSEEN]
    members, others = [-value for value in after], [-value for value in UNSEEN]

    (under,) = over_unlearned(measured(KNOWN, after), HOLDOUT, None).scores

    assert (under.auc, under.ci95) == (auc(members, others), interval(members, others)[:2])
    assert under.adjusted_p == two_sided_p(members, others)


def test_sets_that_differ_in_kind_are_no_finding():
    """The forget items were the stranger ones before anything was forgotten."""
    assert found(measured(LESS, LESS)) == []


@pytest.mark.parametrize(
    ("after", "known", "names"),
    [
        (score(0.1, 0.3), {}, ["loss"]),
        (score(0.1, 0.5), {}, []),
        (score(0.6, 0.8), {}, []),
        (score(0.1, 0.3), {"before": score(0.2, 0.4)}, []),
        (score(0.1, 0.3), {"reference": score(0.2, 0.4)}, []),
        (score(0.1, 0.3), {"reference": score(0.4, 0.6)}, ["loss"]),
        (score(0.1, 0.3, p_value=0.051), {}, []),
    ],
)
def test_membership_counts_below_one_half_and_below_models_that_forgot_nothing(after, known, names):
    like = measured(KNOWN, UNSEEN, metrics=())

    assert found(like, measured(UNSEEN, UNSEEN, metrics=()), membership({"loss": after}, **known)) == [
        ("membership", name) for name in names
    ]


def test_of_several_scores_each_is_corrected_for_all():
    scores = {name: score(0.3, 0.49, p_value=0.02) for name in ("loss", "min_k", "min_k_plus")}

    assert found(measured(KNOWN, UNSEEN), membership=membership({"loss": scores["loss"]})) == [("membership", "loss")]
    assert found(measured(KNOWN, UNSEEN), membership=membership(scores)) == []


def test_probability_is_not_asked_beside_the_loss_which_sorts_alike():
    both = {name: measured(KNOWN, UNSEEN, metrics=COMPARED) for name in ("forget", "holdout")}

    assert over_unlearned(both["forget"], both["holdout"], None).num_asked == 4
    assert over_unlearned(both["forget"], both["holdout"], membership({"loss": score(0.4, 0.6)})).num_asked == 4
    assert over_unlearned(both["forget"], both["holdout"], membership({"min_k": score(0.4, 0.6)})).num_asked == 5


@pytest.mark.parametrize(
    ("holdout", "reason"),
    [(None, "no holdout set"), (measured(UNSEEN[:7], UNSEEN[:7]), "fewer than 8 items")],
)
def test_without_enough_unseen_texts_nothing_is_said(holdout, reason):
    with pytest.raises(UndefinedMetricError, match=reason):
        over_unlearned(measured(KNOWN, LESS), holdout, None)


def test_p_values_are_corrected_from_the_smallest_on():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_texts_like_unseen_ones_are_seldom_found_among_several_metrics():
    generator = torch.Generator().manual_seed(0)
    wrong = 0
    for _ in range(200):
        sets = []
        for count in (25, 40):
            drawn = torch.rand(count, len(COMPARED), generator=generator).tolist()
            items = [
                ItemResult(id=str(at), before=dict.fromkeys(COMPARED, 0.5), after=dict(zip(COMPARED, row, strict=True)))
                for at, row in enumerate(drawn)
            ]
            sets.append(measured([0.5] * count, [0.5] * count, metrics=COMPARED).model_copy(update={"items": items}))
        wrong += bool(over_unlearned(*sets, None).scores)

    assert wrong <= 10  # 5 % at most, half of them on the other side
