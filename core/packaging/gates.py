import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.domain.report import (
    AttackResult,
    EvaluationReport,
    ForgetThreshold,
    PerplexityThreshold,
    RetainThreshold,
)
from core.packaging.attack_notes import attack_note, variant_title
from core.packaging.metric_notes import note_of


@dataclass(frozen=True)
class Gate:
    """One limit that the verdict rests on. ``after`` is None where the metric could not be measured."""

    set_name: str
    metric: str
    limit: str
    before: float | None
    after: float | None
    holds: bool
    origin: str
    meaning: str  # what holding says, in words
    attack: str | None = None  # the title of the attack that is made first
    detail: str = ""  # of an attack: which of its variants the value is from

    @property
    def what(self) -> str:
        """What the limit is on, as it is said."""
        attacked = f", attacked by {self.attack.lower()}" if self.attack else ""
        return f"{self.set_name.capitalize()} set{attacked}: {note_of(self.metric).title.lower()}"


def gates_of(report: EvaluationReport) -> list[Gate]:
    """Return every gate that was applied to a whole set: the forget set as it is, under each attack, what was kept."""
    forget = [_forget_gate(report, threshold) for threshold in report.thresholds.forget]
    retain = [_retain_gate(report, threshold) for threshold in report.thresholds.retain]
    intact = [_perplexity_gate(report, threshold) for threshold in report.thresholds.perplexity]
    return forget + _attack_gates(report) + retain + intact


def _forget_gate(report: EvaluationReport, threshold: ForgetThreshold) -> Gate:
    change = report.forget.metrics.get(threshold.metric)
    return Gate(
        set_name="forget",
        metric=threshold.metric,
        limit=f"at most {threshold.at_most:.3f}",
        before=change.before if change else None,
        after=change.after if change else None,
        holds=change is not None and change.after <= threshold.at_most,
        origin=_origin(report, threshold),
        meaning=_meaning(threshold),
    )


def _retain_gate(report: EvaluationReport, threshold: RetainThreshold) -> Gate:
    change = report.retain.metrics.get(threshold.metric)
    least = threshold.at_least_ratio * change.before if change else None
    limit = f"at least {threshold.at_least_ratio:.0%} of before"
    return Gate(
        set_name="retain",
        metric=threshold.metric,
        limit=limit if least is None else f"{limit}, {least:.3f}",
        before=change.before if change else None,
        after=change.after if change else None,
        holds=change is not None and change.before > 0 and change.after / change.before >= threshold.at_least_ratio,
        origin=f"policy {report.thresholds.policy}",
        meaning=(
            "the model keeps what it knew"
            if report.retain_rows_unseen
            else "the model keeps what it was shown to keep, and of anything else this says nothing"
        ),
    )


def _perplexity_gate(report: EvaluationReport, threshold: PerplexityThreshold) -> Gate:
    measured = report.retain if threshold.set_name == "retain" else report.holdout
    change = measured.metrics.get("perplexity") if measured else None
    limit = f"at most {threshold.at_most_ratio:g} times before"
    most = threshold.at_most_ratio * change.before if change else None
    return Gate(
        set_name=threshold.set_name,
        metric="perplexity",
        limit=limit if most is None else f"{limit}, {most:.3f}",
        before=change.before if change else None,
        after=change.after if change else None,
        holds=change is not None and most is not None and change.after <= most,
        origin="recipe, under any policy",
        meaning="the model was not destroyed; the bound is coarse and says no more than that",
    )


def _attack_gates(report: EvaluationReport) -> list[Gate]:
    """Return one gate for each attack and metric that has a limit, whatever the number of its variants."""
    by_name: dict[str, list[AttackResult]] = {}
    for attack in report.attacks:
        by_name.setdefault(attack.name, []).append(attack)
    return [
        _attack_gate(report, metric, [variant for variant in variants if metric in variant.at_most])
        for variants in by_name.values()
        for metric in dict.fromkeys(metric for variant in variants for metric in variant.at_most)
    ]


def _attack_gate(report: EvaluationReport, metric: str, variants: Sequence[AttackResult]) -> Gate:
    """Return the gate with the worst variant that was made. One without a value is the worst: it proves nothing."""
    made = [variant for variant in variants if variant.attacked is not None]
    worst = max(made or variants, key=lambda variant: _mean(variant, metric, absent=math.inf) - variant.at_most[metric])
    value = _mean(worst, metric, absent=math.nan)
    return Gate(
        set_name="forget",
        metric=metric,
        limit=f"at most {worst.at_most[metric]:.3f}",
        before=None,
        after=None if math.isnan(value) else value,
        holds=value <= worst.at_most[metric],
        origin=_attack_origin(report, metric, worst.at_most[metric]),
        meaning="the attack, in none of its variants, gets more than this out of the model on average",
        attack=attack_note(worst.name).title,
        detail=_which(worst, num_made=len(made), num_planned=len(variants)),
    )


def _attack_origin(report: EvaluationReport, metric: str, limit: float) -> str:
    """Return where a limit under attack comes from: it is never below that of the forget set without one."""
    raised = [
        gate
        for gate in report.thresholds.forget
        if (gate.metric, gate.at_most) == (metric, limit) and gate.holdout_mean is not None
    ]
    return f"{_origin(report, raised[0])}, as without an attack" if raised else f"policy {report.thresholds.policy}"


def _which(worst: AttackResult, *, num_made: int, num_planned: int) -> str:
    if not num_made:
        return "No variant of the attack could be made, and a limit on what was not measured does not hold."
    if not (title := variant_title(worst)):
        return ""
    of = f"the worst of {num_made} variants" if num_made > 1 else "the only variant"
    left = f" {num_planned - num_made} more could not be made." if num_made < num_planned else ""
    return f"After is {of}: {title}.{left}"


def _mean(attack: AttackResult, metric: str, *, absent: float) -> float:
    return attack.attacked.means.get(metric, absent) if attack.attacked else absent


def _meaning(threshold: ForgetThreshold) -> str:
    if threshold.holdout_mean is None:
        return "the model stays under a fixed limit on the forget set"
    return "the model does no better on the forget set than on texts it has never seen"


def _origin(report: EvaluationReport, threshold: ForgetThreshold) -> str:
    if threshold.holdout_mean is None or threshold.holdout_ci95 is None:
        return f"policy {report.thresholds.policy}"
    low, high = threshold.holdout_ci95
    return f"holdout set: mean {threshold.holdout_mean:.3f}, 95 % interval {low:.3f} to {high:.3f}"
