from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import fmean

from core.domain.report import AttackOutcome
from core.evaluation.attack import LEAKS, NoAttackError
from core.evaluation.bootstrap import MIN_ITEMS, bootstrap_interval, difference_interval


@dataclass(frozen=True)
class Courses:
    """What the same training gets out of the unlearned model and out of what it is compared with."""

    attacked: AttackOutcome
    original: AttackOutcome  # the same items on the base model as it was, without any training
    reference: AttackOutcome | None = None  # the same items on a model that never saw them
    control: AttackOutcome | None = None  # other items, never seen, on the unlearned model; only without a reference

    def summary(self) -> tuple[dict[str, float], dict[str, str]]:
        """Return the courses in a few numbers by name, and for those that do not exist the reason."""
        numbers: dict[str, float] = {}
        missing: dict[str, str] = {}
        for metric in LEAKS:
            for name, number in self._numbers(metric).items():
                with _noted(missing, name):
                    numbers[name] = number()
            with _noted(missing, f"difference_{metric}"):
                numbers |= self._difference(metric)
        return numbers, missing

    def _numbers(self, metric: str) -> dict[str, Callable[[], float]]:
        compared = {"reference": self.reference, "control": self.control}
        numbers: dict[str, Callable[[], float]] = {
            f"original_{metric}": partial(_mean, self.original.means, metric),
            f"steps_to_half_{metric}": partial(steps_to_half, self.attacked, self.original, metric),
        }
        for name, outcome in compared.items():
            if outcome is not None:
                numbers[f"{name}_steps_to_half_{metric}"] = partial(steps_to_half, outcome, self.original, metric)
                numbers[f"area_between_{metric}"] = partial(area_between, self.attacked, outcome, metric)
        return numbers

    def _difference(self, metric: str) -> dict[str, float]:
        """Return by how much more comes back of an item at its worst point, with a 95 % interval over items.

        The reference has the same items, so their differences are drawn anew; the control has others, so each side is.
        """
        ours = {name: values[metric] for name, values in self.attacked.items.items()}
        if self.reference is not None:
            theirs = {name: values[metric] for name, values in self.reference.items.items()}
            gaps = [ours[name] - theirs[name] for name in ours if name in theirs]
            _enough(gaps)
            return _with_interval(metric, fmean(gaps), bootstrap_interval(gaps, seed=0))
        if self.control is not None:
            left, right = list(ours.values()), [values[metric] for values in self.control.items.values()]
            _enough(left)
            _enough(right)
            return _with_interval(metric, fmean(left) - fmean(right), difference_interval(left, right, seed=0))
        return {}


def steps_to_half(outcome: AttackOutcome, original: AttackOutcome, metric: str) -> float:
    """Return after how many steps the mean reaches half of the original one, on straight lines between the points.

    Raises:
        NoAttackError: it does not, or there is nothing to halve.
    """
    half = _mean(original.means, metric) / 2
    if half <= 0:
        raise NoAttackError(
            "the model does not show the items with its adapter switched off: there is nothing to halve"
        )
    points = [(point.x, _mean(point.means, metric)) for point in outcome.curve]
    if points[0][1] >= half:
        return points[0][0]
    for (x, y), (later_x, later_y) in pairwise(points):
        if later_y >= half:
            return x + (later_x - x) * (half - y) / (later_y - y)
    raise NoAttackError(f"not reached within {points[-1][0]:g} steps")


def area_between(attacked: AttackOutcome, compared: AttackOutcome, metric: str) -> float:
    """Return by how much the one course is above the other, on average over the steps."""
    gaps = [
        (ours.x, _mean(ours.means, metric) - _mean(theirs.means, metric))
        for ours, theirs in zip(attacked.curve, compared.curve, strict=True)
    ]
    area = sum((later - x) * (gap + later_gap) / 2 for (x, gap), (later, later_gap) in pairwise(gaps))
    return area / gaps[-1][0]


def _mean(means: dict[str, float], metric: str) -> float:
    if metric not in means:
        raise NoAttackError("the scores of every item are not finite numbers")
    return means[metric]


def _enough(values: list[float]) -> None:
    if len(values) < MIN_ITEMS:
        raise NoAttackError(f"{len(values)} items; at least {MIN_ITEMS} needed for an interval")


def _with_interval(metric: str, mean: float, interval: tuple[float, float]) -> dict[str, float]:
    low, high = interval
    return {f"difference_{metric}": mean, f"difference_low_{metric}": low, f"difference_high_{metric}": high}


@contextmanager
def _noted(missing: dict[str, str], name: str) -> Iterator[None]:
    """Within, a number that does not exist is noted with the reason."""
    try:
        yield
    except NoAttackError as error:
        missing[name] = str(error)
