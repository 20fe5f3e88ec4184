from collections.abc import Sequence
from typing import Literal

import torch

from core.domain.report import MembershipResult, SetResult, Thresholds
from core.evaluation.bootstrap import MIN_ITEMS
from core.evaluation.item_limits import over_by_chance

# Asked beside the metrics that have gates. A passage by heart within a long text moves neither of the usual two, and
# what a model finds likely it may know although it would not say it first.
ALSO_ASKED = ("longest_correct_run", "answer_probability")
ITEM_QUANTILE = 0.95
RESAMPLES = 2_000
Moment = Literal["before", "after"]


def looks_unseen(
    forget: SetResult,
    holdout: SetResult | None,
    thresholds: Thresholds,
    membership: MembershipResult | None = None,
    *,
    when: Moment,
) -> bool:
    """Return whether the model makes no more of the texts than the base model of texts that it never saw.

    So there must be some of these. In each metric the mean may be as high as that of as many holdout items drawn at
    random is in 95 % of draws, no more items than chance allows may be above the holdout set's 95th percentile, and
    none above its highest. Membership inference, where it was made, must not tell the two sets apart.

    Args:
        forget: as measured under the base model and under the one with the adapter, or under the base model twice.
        holdout: the same; None where there is none, or nobody can tell.
        thresholds: the holdout set must be within these itself, for one that the model has seen vouches for nothing.
        membership: of the forget set.
        when: whether the base model is asked about, or the one with the adapter.
    """
    if holdout is None or not all(_is_within(holdout, gate.metric, gate.at_most) for gate in thresholds.forget):
        return False
    gated = [gate.metric for gate in thresholds.forget]
    asked = dict.fromkeys([*gated, *(name for name in ALSO_ASKED if name in forget.metrics)])
    unseen = {name: _values(holdout, name, "before") for name in asked}
    if not all(_is_like(_values(forget, name, when), unseen[name], len(forget.items)) for name in asked):
        return False
    return membership is None or not _is_recognised(membership, when)


def _is_within(holdout: SetResult, metric: str, at_most: float) -> bool:
    change = holdout.metrics.get(metric)
    return change is not None and change.n >= MIN_ITEMS and change.before <= at_most


def _values(measured: SetResult, metric: str, when: Moment) -> list[float]:
    items = [item.before if when == "before" else item.after for item in measured.items]
    return [values[metric] for values in items if metric in values]


def _is_recognised(membership: MembershipResult, when: Moment) -> bool:
    scores = membership.before if when == "before" else membership.after
    return any(score.ci95[0] > 0.5 for score in scores.values())


def _is_like(values: Sequence[float], unseen: Sequence[float], num_items: int) -> bool:
    """Return whether the values of all items look like draws from those of unseen items."""
    if len(values) < num_items or len(unseen) < MIN_ITEMS:
        return False
    reference = torch.tensor(unseen, dtype=torch.float64)
    over = sum(value > float(reference.quantile(ITEM_QUANTILE)) for value in values)
    return (
        sum(values) / len(values) <= _mean_by_chance(reference, count=len(values))
        and over <= over_by_chance(len(values))
        and max(values) <= max(unseen)
    )


def _mean_by_chance(reference: torch.Tensor, *, count: int) -> float:
    """Return the 95 % quantile of the mean of so many draws."""
    generator = torch.Generator().manual_seed(0)
    means = torch.stack(
        [reference[torch.randint(len(reference), (count,), generator=generator)].mean() for _ in range(RESAMPLES)]
    )
    return float(means.quantile(ITEM_QUANTILE))
