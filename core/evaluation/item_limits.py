import math
from collections.abc import Mapping

from core.domain.report import ForgetThreshold, ItemResult, Thresholds

# Of text that a model never saw, this share of items lies over the limit of an item: it is their 95th percentile.
CHANCE_OVER = 0.05
# An item that kept more than this share of what it had above its limit is remembered, whatever the others are.
REMEMBERED_SHARE = 0.5
# Limits of a policy are no percentile of anything. In sets too small for a share, none may be over them.
_FEW_ITEMS = 20


def is_within(values: Mapping[str, float], thresholds: Thresholds) -> bool:
    """Return whether an item has every gate metric and is within each; NaN compares false."""
    within = [values.get(gate.metric, math.nan) <= gate.item_at_most for gate in thresholds.forget]
    return bool(within) and all(within)


def is_remembered(item: ItemResult, values: Mapping[str, float], thresholds: Thresholds) -> bool:
    """Return whether these values are most of what the item was above its limits before, in any metric they hold."""
    return any(
        values[gate.metric] > gate.item_at_most + REMEMBERED_SHARE * _excess(item, gate)
        for gate in thresholds.forget
        if gate.metric in values
    )


def allowed_over(count: int, thresholds: Thresholds, *, tries: int = 1) -> int:
    """Return how many of so many items may be over their own limits before it is no chance any more.

    Args:
        count: of items.
        thresholds: with the limits.
        tries: in how many ways the same items are measured, each of which must stay within this number.
    """
    is_percentile = all(gate.holdout_mean is not None for gate in thresholds.forget)
    return over_by_chance(count, tries=tries) if is_percentile or count >= _FEW_ITEMS else 0


def over_by_chance(count: int, *, tries: int = 1) -> int:
    """Return how many of so many items may be over their limits by chance though none was ever seen.

    The 95 % quantile of a binomial distribution: each is over with probability ``CHANCE_OVER``, and more than this
    many are so in at most one set of twenty. With several tries at the same items, at most one set of twenty has more
    in any of them (Bonferroni).
    """
    mass, over = 0.0, -1
    while mass < 1 - CHANCE_OVER / tries and over < count:
        over += 1
        mass += math.comb(count, over) * CHANCE_OVER**over * (1 - CHANCE_OVER) ** (count - over)
    return max(over, 0)


def _excess(item: ItemResult, gate: ForgetThreshold) -> float:
    return max(0.0, item.before.get(gate.metric, 0.0) - gate.item_at_most)
