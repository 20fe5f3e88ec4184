"""What the benchmark finds, as numbers that can be kept, and what is read off them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from core.domain.report import AttackOutcome, AttackResult, EvaluationReport
from core.evaluation.bootstrap import MIN_ITEMS, bootstrap_interval
from core.evaluation.lessons import VARIANTS
from core.packaging.attack_finding import difference_of

_FROZEN = ConfigDict(frozen=True)
STRENGTH = "extraction_strength"
# The variant of relearning that is tried a second time, beside unseen people instead of the reference.
ANSWERS = "answers"
# What is spent before there is a loss to step on, and the steps.
TRAINING_STAGES = ("fisher", "initialize", "train")
JUDGING_STAGES = ("baseline", "evaluate", "attack")


class Trial(BaseModel):
    """One method with one seed, and the attacks on what it delivered."""

    model_config = _FROZEN
    method: str
    seed: int
    outcome: str  # the verdict, or the code of the failure
    report: EvaluationReport | None = None  # None: the job failed
    relearning: list[AttackResult] = []  # of each learning rate all variants
    base_relearning: list[AttackResult] = []  # the same attacks on the base model, at the rates that were strongest
    unseen_relearning: AttackResult | None = None  # ``ANSWERS`` beside unseen people, as where there is no reference


class Findings(BaseModel):
    """Everything that the page shows, and what made it."""

    model_config = _FROZEN
    command: str
    commit: str
    device: str
    reference_memorised: float  # mean extraction strength of the texts that the reference was taught
    trials: list[Trial]
    clean_relearning: list[AttackResult] = []  # ``ANSWERS`` beside unseen people on the reference, at each rate
    base_quantisation: list[AttackResult] = []
    cost: dict[str, float] = {}  # seconds of each stage of a job of the default method under the default policy
    cost_method: str = ""
    cost_policy: str = ""


@dataclass(frozen=True)
class Gap:
    """By how much more of an item an attack gets than it gets elsewhere, on average, with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def sign(self) -> int:
        """1 above zero, -1 below it, 0 where the interval does not decide."""
        return (self.low > 0) - (self.high < 0)

    def __str__(self) -> str:
        """Return the mean with its interval."""
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def gap(ours: AttackOutcome | None, theirs: AttackOutcome | None, metric: str = STRENGTH) -> Gap | None:
    """Return the mean difference over the items that both have, None of too few of them.

    The interval is over items as if they were drawn one by one. Those about one person are alike, so it is rather too
    narrow.
    """
    if ours is None or theirs is None:
        return None
    shared = sorted(ours.items.keys() & theirs.items.keys())
    if len(shared) < MIN_ITEMS:
        return None
    differences = [ours.items[item][metric] - theirs.items[item][metric] for item in shared]
    low, high = bootstrap_interval(differences, seed=0)
    return Gap(fmean(differences), low, high, len(shared))


def gap_to_unseen(result: AttackResult | None) -> Gap | None:
    """Return the mean difference to as many unseen items that were taught likewise, None of too few of them."""
    difference = None if result is None else difference_of(result)
    if result is None or result.control is None or result.attacked is None or difference is None:
        return None
    return Gap(difference.mean, difference.low, difference.high, result.attacked.n)


def peak(outcome: AttackOutcome | None) -> float | None:
    """Return the largest mean along a course, where an attacker would stop."""
    means = [point.means[STRENGTH] for point in outcome.curve if STRENGTH in point.means] if outcome else []
    return max(means, default=None)


def end(outcome: AttackOutcome | None) -> float | None:
    """Return the mean at the end of a course."""
    return outcome.curve[-1].means.get(STRENGTH) if outcome and outcome.curve else None


def rates(results: Sequence[AttackResult]) -> list[float]:
    """Return the learning rates that were tried, ascending."""
    return sorted({float(result.budget["learning_rate"]) for result in results if result.budget})


def at_rate(results: Sequence[AttackResult], variant: str, rate: float) -> AttackResult | None:
    """Return the attack with these texts at this rate, None where it could not be made."""
    found = [result for result in results if result.variant == variant and result.budget.get("learning_rate") == rate]
    return found[0] if found else None


def strongest(results: Sequence[AttackResult], variant: str) -> AttackResult | None:
    """Return the attack of the learning rate that gets most out of the unlearned model, None where none was made."""
    made = [result for result in results if result.variant == variant and peak(result.attacked) is not None]
    return max(made, key=lambda result: peak(result.attacked) or 0.0, default=None)


def strongest_rates(results: Sequence[AttackResult]) -> dict[float, list[str]]:
    """Return the learning rates at which some attack is strongest, with what is trained on in these attacks."""
    chosen: dict[float, list[str]] = {}
    for variant in VARIANTS:
        if (found := strongest(results, variant)) is not None:
            chosen.setdefault(float(found.budget["learning_rate"]), []).append(variant)
    return chosen
