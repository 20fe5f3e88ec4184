"""What a benchmark's seeds carry: numbers by seed, and differences of two methods on the same models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats

from bench.tofu.runs import REFERENCE, Run
from core.domain.report import ForgetQuality
from core.evaluation.forget_quality import forget_quality
from core.evaluation.metric import UndefinedMetricError

Numbers = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Judged:
    """A run with its forget quality against the reference model of its seed."""

    run: Run
    quality: ForgetQuality | None = None  # None: it cannot be told


@dataclass(frozen=True)
class Difference:
    """The mean difference of two methods over seeds that both ran, and its 95 % interval."""

    mean: float
    low: float
    high: float
    num_seeds: int

    @property
    def sign(self) -> int:
        """1 above zero, -1 below it, 0 where the interval does not decide."""
        return (self.low > 0) - (self.high < 0)

    def shown(self, digits: int = 3) -> str:
        """Return the mean with its interval."""
        return f"{self.mean:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"


def paired(ours: Numbers, theirs: Numbers) -> Difference | None:
    """Return ours minus theirs, None with fewer than two seeds in common.

    Runs of one seed start from the same model, so its luck cancels out. The interval is Student's over the seeds.
    """
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) < 2:
        return None
    differences = [ours[seed] - theirs[seed] for seed in shared]
    reach = float(stats.t.ppf(0.975, len(shared) - 1)) * stdev(differences) / math.sqrt(len(shared))
    mean = fmean(differences)
    return Difference(mean, mean - reach, mean + reach, len(shared))


def judged(runs: Sequence[Run]) -> list[Judged]:
    """Return each run of one split beside the reference of its seed; a reference beside that of another seed."""
    references = {run.key.seed: run for run in runs if run.key.method == REFERENCE}
    seeds = sorted(references)
    following = dict(zip(seeds, seeds[1:] + seeds[:1], strict=True)) if len(seeds) > 1 else {}
    found = []
    for run in runs:
        seed = following.get(run.key.seed) if run.key.method == REFERENCE else run.key.seed
        found.append(Judged(run, _quality(run, references.get(seed) if seed is not None else None)))
    return found


def numbers_of(rows: Sequence[Judged], column: str) -> dict[int, float]:
    """Return one column of one method by seed; a seed that lacks the number is left out.

    Args:
        rows: the runs of one method on one split.
        column: one of distance, retain_utility, utility, strength, auc, forgot_at, steps, train_seconds, job_seconds.
    """
    values = {row.run.key.seed: _number(row, column) for row in rows}
    return {seed: value for seed, value in values.items() if value is not None}


def _number(row: Judged, column: str) -> float | None:
    run, numbers = row.run, row.run.numbers
    if column in ("forgot_at", "steps", "train_seconds", "job_seconds"):
        value: float | None = getattr(run, column)
        return value
    if column == "distance":
        return None if row.quality is None else row.quality.ks_distance
    if numbers is None:
        return None
    of_model = {
        "retain_utility": numbers.retain_utility,
        "utility": numbers.utility,
        "strength": numbers.extraction_strength,
        "auc": None if numbers.membership is None else numbers.membership.auc,
    }
    return of_model[column]


def _quality(run: Run, reference: Run | None) -> ForgetQuality | None:
    if run.numbers is None or reference is None or reference.numbers is None:
        return None
    try:
        return forget_quality(run.numbers.log_ratios, reference.numbers.log_ratios)
    except UndefinedMetricError:
        return None  # the page shows what a run lacks, with the reason
