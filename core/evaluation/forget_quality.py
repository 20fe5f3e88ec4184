import math
from collections.abc import Sequence

import torch
from scipy import stats
from torch import Tensor

from core.domain.report import EquivalenceTest, ForgetQuality
from core.evaluation.bootstrap import MIN_ITEMS, RESAMPLES
from core.evaluation.metric import UndefinedMetricError

# The bounds of bioequivalence: geometric means within 80 % to 125 % of each other. With ratios that vary as on TOFU (a
# standard deviation of 0.6 nats) equal models are found equivalent in four of five tries from 125 items each on.
EQUIVALENCE_MARGIN = math.log(1.25)
# Of each of the two one-sided tests.
SIGNIFICANCE = 0.05


def forget_quality(
    log_ratios: Sequence[float], reference: Sequence[float], *, margin: float = EQUIVALENCE_MARGIN, seed: int = 0
) -> ForgetQuality:
    """Return how alike the truth ratios of a model and of a reference model are on the forget set.

    The published number is the p-value alone. It is a failure to reject: it grows as items become fewer, so it is
    given together with the distance itself, the numbers of items, and a test that has to show likeness.

    Args:
        log_ratios: of the model, in nats (``TruthRatio.log_ratio``).
        reference: those of a model that never saw the forget set; the items need not be the same.
        margin: how far apart the mean log ratios of equivalent models may be, in nats; set before looking.
        seed: of the bootstrap.

    Raises:
        UndefinedMetricError: one side has too few items, or all ratios of both sides are the same.

    References:
        Maini et al. (TOFU), COLM 2024, https://arxiv.org/abs/2401.06121, section 2.2 (forget quality).
    """
    fewest = min(len(log_ratios), len(reference))
    if fewest < MIN_ITEMS:
        raise UndefinedMetricError(f"{fewest} items have a truth ratio under one of the models; {MIN_ITEMS} are needed")
    if len(set(log_ratios)) == len(set(reference)) == 1:
        raise UndefinedMetricError("all items of a model have the same truth ratio, so nothing can be tested")
    found = stats.ks_2samp(log_ratios, reference, method="exact")
    return ForgetQuality(
        num_items=len(log_ratios),
        num_reference_items=len(reference),
        ks_distance=float(found.statistic),
        ks_distance_ci95=distance_interval(log_ratios, reference, seed=seed),
        ks_p_value=float(found.pvalue),
        equivalence=equivalence(log_ratios, reference, margin=margin),
    )


def distance_interval(sample: Sequence[float], reference: Sequence[float], *, seed: int) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of the Kolmogorov-Smirnov distance, within [0, 1].

    ``D`` plus and minus the 95th percentile of ``K = sup |(F* - G*) - (F - G)|`` over resampled distribution functions
    ``F*`` and ``G*``. No distance can move by more than ``K``, so this errs to the safe side. Percentiles of resampled
    distances do not: resampling adds distance, and for two samples of one distribution they lie above the true 0.

    References:
        Bickel and Freedman, Annals of Statistics 9 (6), 1981, https://doi.org/10.1214/aos/1176345637.
    """
    first, second = torch.tensor(sample, dtype=torch.float64), torch.tensor(reference, dtype=torch.float64)
    places = torch.cat([first, second]).unique()  # (P,), ascending
    gap = _distribution(first, places) - _distribution(second, places)  # (P,)
    generator = torch.Generator().manual_seed(seed)
    moved = torch.cat(
        [
            (_resampled(first, places, generator) - _resampled(second, places, generator) - gap).abs().amax(dim=1)
            for _ in range(RESAMPLES // 100)
        ]
    )
    distance, reach = float(gap.abs().max()), float(moved.quantile(0.95))
    return max(0.0, distance - reach), min(1.0, distance + reach)


def equivalence(sample: Sequence[float], reference: Sequence[float], *, margin: float) -> EquivalenceTest:
    """Return two one-sided Welch tests of whether the means differ by less than the margin.

    The items are not paired, for the reference may have been measured on others; where they are the same ones this is
    the stricter test.

    References:
        Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987, https://doi.org/10.1007/BF01068419.
    """
    ours = torch.tensor(sample, dtype=torch.float64).numpy()
    theirs = torch.tensor(reference, dtype=torch.float64).numpy()
    above = stats.ttest_ind(ours, theirs - margin, equal_var=False, alternative="greater")
    below = stats.ttest_ind(ours, theirs + margin, equal_var=False, alternative="less")
    p_above_lower, p_below_upper = float(above.pvalue), float(below.pvalue)
    return EquivalenceTest(
        margin=margin,
        difference=float(ours.mean() - theirs.mean()),
        p_above_lower=p_above_lower,
        p_below_upper=p_below_upper,
        equivalent=max(p_above_lower, p_below_upper) < SIGNIFICANCE,
    )


def _resampled(sample: Tensor, places: Tensor, generator: torch.Generator) -> Tensor:
    """Return the distribution functions of 100 resamples, (100, P)."""
    drawn = sample[torch.randint(len(sample), (100, len(sample)), generator=generator)]
    return _distribution(drawn, places.expand(100, -1).contiguous())


def _distribution(sample: Tensor, places: Tensor) -> Tensor:
    """Return the share of a sample (..., n) that is at most as large as each place (..., P)."""
    return torch.searchsorted(sample.sort(dim=-1).values, places, right=True) / sample.shape[-1]
