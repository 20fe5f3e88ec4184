from collections.abc import Sequence

import torch
from torch import Tensor

from core.evaluation.metric import Metric

# Below this a bootstrap interval is too narrow by a large factor.
MIN_ITEMS = 8
RESAMPLES = 10_000
# Of an aggregate that is no mean, one resample at a time.
_SLOW_RESAMPLES = 1_000


def bootstrap_interval(values: Sequence[float], *, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean.

    The metrics live in [0, 1] and pile up at their ends, so an interval from Student's t would leave that range.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    return _edges(_resampled_means(values, torch.Generator().manual_seed(seed)))


def difference_interval(ours: Sequence[float], theirs: Sequence[float], *, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the difference of two means, over draws of either's items.

    Args:
        ours: at least one value.
        theirs: of other items, whose mean is taken from that of ours.
        seed: of the resamples.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 8.3.
    """
    generator = torch.Generator().manual_seed(seed)
    return _edges(_resampled_means(ours, generator) - _resampled_means(theirs, generator))


def metric_interval(
    metric: Metric, values: Sequence[float], *, num_tokens: Sequence[int], seed: int
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a set's metric over draws of its items.

    Args:
        metric: says how items make a set.
        values: of each item that has it, at least one.
        num_tokens: of each of these.
        seed: of the resamples.
    """
    if metric.is_mean:
        return bootstrap_interval(values, seed=seed)  # whose resamples are taken all at once
    generator = torch.Generator().manual_seed(seed)
    resampled = []
    for _ in range(_SLOW_RESAMPLES):
        drawn = torch.randint(len(values), (len(values),), generator=generator).tolist()
        resampled.append(metric.of_set([values[at] for at in drawn], num_tokens=[num_tokens[at] for at in drawn]))
    return _edges(torch.tensor(resampled, dtype=torch.float64))


def _resampled_means(values: Sequence[float], generator: torch.Generator) -> Tensor:
    sample = torch.tensor(values, dtype=torch.float64)  # (n,)
    return torch.cat(
        [
            sample[torch.randint(len(sample), (100, len(sample)), generator=generator)].mean(dim=1)
            for _ in range(RESAMPLES // 100)
        ]
    )


def _edges(resampled: Tensor) -> tuple[float, float]:
    low, high = resampled.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
