from dataclasses import dataclass

from core.domain.report import EvaluationReport, ForgetThreshold, RetainThreshold


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


def gates_of(report: EvaluationReport) -> list[Gate]:
    """Return every gate that was applied to a whole set, forget set first."""
    forget = [_forget_gate(report, threshold) for threshold in report.thresholds.forget]
    return forget + [_retain_gate(report, threshold) for threshold in report.thresholds.retain]


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
        meaning="the model keeps what it knew",
    )


def _meaning(threshold: ForgetThreshold) -> str:
    if threshold.holdout_mean is None:
        return "the model stays under a fixed limit on the forget set"
    return "the model does no better on the forget set than on texts it has never seen"


def _origin(report: EvaluationReport, threshold: ForgetThreshold) -> str:
    if threshold.holdout_mean is None or threshold.holdout_ci95 is None:
        return f"policy {report.thresholds.policy}"
    low, high = threshold.holdout_ci95
    return f"holdout set: mean {threshold.holdout_mean:.3f}, 95 % interval {low:.3f} to {high:.3f}"
