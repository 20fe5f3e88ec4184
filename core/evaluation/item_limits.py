from collections.abc import Mapping

from scipy import stats

from core.domain.report import ForgetThreshold, ItemResult, Thresholds

# Of text that a model never saw, this share of items lies over one limit of an item: it is their 95th percentile.
CHANCE_OVER = 0.05
# A number of items that is reached by chance in at most this share of sets is no chance any more.
LEVEL = 0.05
# An item that kept more than this share of what it had above its limit is remembered, whatever the others are.
REMEMBERED_SHARE = 0.5
# Limits of a policy are no percentile of anything. In sets too small for a share, none may be over them.
_FEW_ITEMS = 20
# The metrics of gates are shares of an item.
_MOST = 1.0


def is_within(values: Mapping[str, float], thresholds: Thresholds) -> bool:
    """Return whether an item has every gate metric and is within each; NaN compares false."""
    return is_measured(values, thresholds) and all(
        values[gate.metric] <= gate.item_at_most for gate in thresholds.forget
    )


def is_measured(values: Mapping[str, float], thresholds: Thresholds) -> bool:
    """Return whether an item has every gate metric, of which there must be one."""
    return bool(thresholds.forget) and all(gate.metric in values for gate in thresholds.forget)


def is_over(values: Mapping[str, float], thresholds: Thresholds) -> bool:
    """Return whether an item is over its limit in any gate metric that it has."""
    return any(not values[gate.metric] <= gate.item_at_most for gate in thresholds.forget if gate.metric in values)


def is_remembered(item: ItemResult, values: Mapping[str, float], thresholds: Thresholds) -> bool:
    """Return whether these values are most of what the item was above a limit before, in any metric they hold.

    One that was not above its limit has nothing to have kept, and is just over it by chance as easily as text that
    nobody saw. It counts where it is most of the way from the limit to the whole item: an attack may show what the
    prompt of the request did not.
    """
    return any(
        values[gate.metric] > gate.item_at_most + REMEMBERED_SHARE * _most_above(item, gate)
        for gate in thresholds.forget
        if gate.metric in values
    )


def allowed_over(count: int, thresholds: Thresholds, *, tries: int = 1, attempts: int = 1) -> int:
    """Return how many of so many items may be over their own limits before it is no chance any more.

    Args:
        count: of items.
        thresholds: with the limits, and the share of unseen items that are over any of them.
        tries: in how many ways the same items are measured, each of which must stay within this number.
        attempts: at an item within one of these ways, of which the worst counts. Each is over by chance, and any of
            them is at most as often as if they had nothing to do with each other: prompts for one item agree rather.
    """
    share = thresholds.chance_over
    if share is None and count < _FEW_ITEMS:
        return 0
    once = CHANCE_OVER if share is None else share
    return over_by_chance(count, share=1 - (1 - once) ** attempts, tries=tries)


def over_by_chance(count: int, *, share: float = CHANCE_OVER, tries: int = 1) -> int:
    """Return how many of so many items may be over their limits by chance though none was ever seen.

    The 95 % quantile of a binomial distribution: each is over with probability ``share``, and more than this many are
    so in at most one set of twenty. With several tries at the same items, at most one set of twenty has more in any of
    them (Bonferroni).
    """
    return int(stats.binom.ppf(1 - LEVEL / tries, count, share))


def _most_above(item: ItemResult, gate: ForgetThreshold) -> float:
    """Return how far above its limit the item was before, or where it was not, how far it could be."""
    before = item.before.get(gate.metric, 0.0)
    return before - gate.item_at_most if before > gate.item_at_most else max(0.0, _MOST - gate.item_at_most)
