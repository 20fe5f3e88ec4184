import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

# Fewer texts that nobody saw have no false positive rate of 1 %: the least is one of them.
MIN_OTHERS_FOR_TPR = 100
_Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution


class Interval(NamedTuple):
    """A 95 % confidence interval and the method that gave it."""

    low: float
    high: float
    method: Literal["delong", "clopper_pearson"]


def auc(members: Sequence[float], others: Sequence[float]) -> float:
    """Return the probability that one of the others scores higher than a member, ties counted half, in [0, 1].

    1 means that the members look like training data, 0.5 that nothing tells the two sets apart, 0 that the members are
    the stranger ones. Never folded: a set that stands out by how little the model makes of it stands out as well.

    Args:
        members: a finite score of each item that was trained on, higher where it looks less so; at least one.
        others: the same of the items that were not; at least one.

    References:
        Mann and Whitney, Ann. Math. Stat. 18, 1947, https://doi.org/10.1214/aoms/1177730491.
    """
    of_members, _ = _placements(members, others)
    return float(of_members.mean())


def delong_variance(members: Sequence[float], others: Sequence[float]) -> float:
    """Return the variance of the AUC over draws of both sets, each of at least two items.

    It is 0 where every pair falls out the same way: there it says nothing about the uncertainty.

    References:
        DeLong et al., Biometrics 44, 1988, https://doi.org/10.2307/2531595.
    """
    of_members, of_others = _placements(members, others)
    return float(of_members.var() / len(of_members) + of_others.var() / len(of_others))


def interval(members: Sequence[float], others: Sequence[float]) -> Interval:
    """Return the 95 % confidence interval of the AUC, within [0, 1] and never of zero width.

    DeLong's variance on the logit scale, where the interval cannot leave [0, 1] and is wider towards the middle: around
    two sets of 20 items with a true AUC of 0.95 it holds that in 96 % of draws, the plain one in 84 %.

    Where that variance is 0, every pair fell out the same way. Were the items paired off at random, the
    ``k = min(n, m)`` pairs would be independent draws that all did, and Clopper and Pearson's exact interval for ``k``
    of ``k`` holds: with 95 % confidence the pairs of two full populations do so at least with probability
    ``0.025^(1/k)``, or ``0.05^(1/k)`` where all are ties, since these leave both sides open. It is wider than it needs
    to be, since it uses ``k`` pairs of ``n m``.

    References:
        Qin and Hotilovac, Stat. Methods Med. Res. 17, 2008, https://doi.org/10.1177/0962280207087173 (the logit).
        Clopper and Pearson, Biometrika 26, 1934, https://doi.org/10.1093/biomet/26.4.404.
    """
    area, variance = auc(members, others), delong_variance(members, others)
    if variance == 0:
        return _interval_of_equal_pairs(area, pairs=min(len(members), len(others)))
    slope = area * (1 - area)
    center, half = math.log(area / (1 - area)), _Z * math.sqrt(variance) / slope
    return Interval(_expit(center - half), _expit(center + half), "delong")


def two_sided_p(members: Sequence[float], others: Sequence[float]) -> float:
    """Return how often two sets from one distribution would differ as much, to either side (Mann-Whitney).

    The normal approximation with corrections for ties and for continuity, which in the tails of small sets is too large
    rather than too small. The AUC says which side it is.
    """
    n, m = len(members), len(others)
    pooled = torch.tensor([*members, *others], dtype=torch.float64)
    _, ties = pooled.unique(return_counts=True)
    tied = float((ties.double() ** 3 - ties).sum()) / ((n + m) * (n + m - 1))
    variance = n * m / 12 * (n + m + 1 - tied)
    if variance <= 0:  # one value only
        return 1.0
    distance = max(abs(auc(members, others) - 0.5) * n * m - 0.5, 0.0)
    return math.erfc(distance / math.sqrt(2 * variance))


def tpr_at_1pct_fpr(members: Sequence[float], others: Sequence[float]) -> float | None:
    """Return the share of members found when at most 1 % of the others are taken for members, in [0, 1].

    An attacker takes all items below some score for members. None with fewer than 100 others, where the only such
    rate is none at all, and the answer that of a single text.

    References:
        Carlini et al., IEEE S&P 2022, https://arxiv.org/abs/2112.03570 (why at a low rate).
    """
    if len(others) < MIN_OTHERS_FOR_TPR:
        return None
    first_spared = sorted(others)[len(others) // 100]
    return sum(score < first_spared for score in members) / len(members)


def _placements(members: Sequence[float], others: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return for each member the share of others above it, and for each other that of members below, ties half."""
    own, their = (torch.tensor(scores, dtype=torch.float64).sort().values for scores in (members, others))
    return 1 - _share_below(own, within=their), _share_below(their, within=own)


def _share_below(values: Tensor, *, within: Tensor) -> Tensor:
    """Return the share of a sorted tensor that is below each value, ties counted half."""
    below, up_to = (torch.searchsorted(within, values, right=right) for right in (False, True))
    return (below + up_to).double() / (2 * len(within))


def _interval_of_equal_pairs(area: float, *, pairs: int) -> Interval:
    if area == 1:
        return Interval(0.025 ** (1 / pairs), 1.0, "clopper_pearson")
    if area == 0:
        return Interval(0.0, 1 - 0.025 ** (1 / pairs), "clopper_pearson")
    half = (1 - 0.05 ** (1 / pairs)) / 2  # ties count half, so others may be on either side
    return Interval(0.5 - half, 0.5 + half, "clopper_pearson")


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x))
