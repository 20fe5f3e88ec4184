"""What follows from the numbers, in words; where they do not decide, the sentence says so and draws nothing from it."""

from collections.abc import Iterator, Mapping, Sequence

from bench.attacks.findings import (
    ANSWERS,
    JUDGING_STAGES,
    STRENGTH,
    TRAINING_STAGES,
    Findings,
    Trial,
    at_rate,
    end,
    gap,
    gap_to_unseen,
    strongest,
)
from core.domain.report import AttackResult, EvaluationReport, MembershipScore
from core.evaluation.attacks.sampling import RECALL
from core.evaluation.lessons import VARIANTS

_TRAINED_ON = {
    "forget_part": "a part of the forget set",
    "neighbours": "other people",
    "benign": "sums",
    ANSWERS: "the forgotten answers themselves, asked for in other words,",
}


def sentences(trial: Trial) -> list[str]:
    """Return what the attacks on one delivered adapter show."""
    found = [*_relearning(trial)]
    if trial.report is not None:
        report = trial.report
        found += [*_quantisation(report), *_prompts(report), *_sampling(report), *_membership(report)]
    return found


def cost_sentence(findings: Findings) -> str:
    """Return whether judging took longer than the training it judged."""
    judging, training = (_sum(findings.cost, stages) for stages in (JUDGING_STAGES, TRAINING_STAGES))
    parts = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in findings.cost.items())
    verdict = "no longer than" if judging <= training else "longer than"
    return (
        f"Under `{findings.cost_policy}`, with a holdout set and without a reference model, a job of "
        f"`{findings.cost_method}` spends {judging:.1f} s on judging ({', '.join(JUDGING_STAGES)}) and "
        f"{training:.1f} s on training ({', '.join(TRAINING_STAGES)}): {judging / training:.2f} of it, {verdict} the "
        f"training that is judged. By stage: {parts}."
    )


def _relearning(trial: Trial) -> Iterator[str]:
    for variant in VARIANTS:
        result = strongest(trial.relearning, variant)
        if result is not None:
            rate = float(result.budget["learning_rate"])
            yield from _told_apart(result, variant)
            if variant == ANSWERS:
                yield from _beside_unseen(trial)
            yield from _base(result, at_rate(trial.base_relearning, variant, rate), variant)


def _told_apart(result: AttackResult, variant: str) -> Iterator[str]:
    difference = gap(result.attacked, result.reference)
    if difference is None:
        return
    what = {
        1: "gets more out of the unlearned model than out of the reference, so something of the texts is still in it",
        -1: "gets less out of the unlearned model than out of the reference",
        0: "does not tell the unlearned model from the reference, within this interval",
    }[difference.sign]
    yield (
        f"Fine-tuning on {_TRAINED_ON[variant]} {what}: {difference} in the extraction strength of an item at the "
        f"worst point of the course, over {difference.n} items."
    )


def _beside_unseen(trial: Trial) -> Iterator[str]:
    """Say what the attack finds where there is no reference."""
    difference = gap_to_unseen(trial.unseen_relearning)
    if difference is None:
        return
    what = {
        1: "further than with the answers of as many people whom no model saw",
        -1: "less far than with the answers of as many people whom no model saw",
        0: "about as far as with the answers of as many people whom no model saw, within this interval",
    }[difference.sign]
    yield f"Without the reference, the same training gets the unlearned model {what}: {difference}."


def _base(result: AttackResult, base: AttackResult | None, variant: str) -> Iterator[str]:
    """Compare with the model that still has the memory, and with what the attack itself leaves of one."""
    if base is None or (difference := gap(base.attacked, result.attacked)) is None:
        return
    what = {1: "is above", -1: "is below", 0: "is not told from"}[difference.sign]
    yield f"Under the same training the base model {what} the unlearned model: {difference}."
    before, left = base.summary.get(f"original_{STRENGTH}"), end(base.attacked)
    if before is not None and left is not None and left < before / 2:
        yield (
            f"At this rate training on {_TRAINED_ON[variant]} leaves {left:.3f} of the {before:.3f} that the base "
            "model itself had: the end of this course is what the attack destroys, not what was forgotten."
        )


def _quantisation(report: EvaluationReport) -> Iterator[str]:
    found = [result for result in report.attacks if result.name == "quantisation"]
    back = {result.variant: gap(result.attacked, result.unattacked) for result in found}
    above = {result.variant: gap(result.attacked, result.reference) for result in found}
    known = {variant: difference for variant, difference in back.items() if difference is not None}
    if not known:
        return
    rising = [variant for variant, difference in known.items() if difference.sign > 0]
    largest = max(known, key=lambda variant: known[variant].mean)
    if rising:
        shown = "; ".join(f"{variant} {known[variant]}" for variant in rising)
        yield f"Rounding brings something back: {shown}."
    else:
        yield f"In no deployment is a rise by rounding shown; the largest mean change is {largest} {known[largest]}."
    shown = "; ".join(f"{variant} {difference}" for variant, difference in above.items() if difference is not None)
    if shown:
        yield f"The rounded unlearned model against the rounded reference: {shown}."


def _prompts(report: EvaluationReport) -> Iterator[str]:
    found = [result for result in report.attacks if result.name == "prompts"]
    over = {result.variant: gap(result.attacked, result.reference) for result in found}
    told = {variant: difference for variant, difference in over.items() if difference is not None and difference.sign}
    for variant, difference in told.items():
        more = "more" if difference.sign > 0 else "less"
        yield f"Prompts ({variant}) get {more} out of the unlearned model than out of the reference: {difference}."


def _sampling(report: EvaluationReport) -> Iterator[str]:
    for result in report.attacks:
        if result.name != "sampling" or (difference := gap(result.attacked, result.reference, RECALL)) is None:
            continue
        if difference.sign:
            more = "more" if difference.sign > 0 else "less"
            yield (
                f"The best of many drawn answers holds {more} of an item under the unlearned model than under the "
                f"reference: {difference} in recall."
            )


def _membership(report: EvaluationReport) -> Iterator[str]:
    """Say by which scores forget items are still told from text that no model saw, and on which side."""
    after = report.membership.after if report.membership else {}
    sides = {
        "as text that was trained on": [name for name, score in after.items() if score.ci95[0] > 0.5],
        "as text less familiar than any unseen one, so forgotten too hard": [
            name for name, score in after.items() if score.ci95[1] < 0.5
        ],
    }
    for what, names in sides.items():
        if names:
            yield f"Forget items are told from text that no model saw, {what}, by {_aucs(names, after)}."
    undecided = [name for name, score in after.items() if score.ci95[0] <= 0.5 <= score.ci95[1]]
    if undecided:
        yield f"They are not told from it, within these intervals, by {_aucs(undecided, after)}."


def _aucs(names: Sequence[str], scores: Mapping[str, MembershipScore]) -> str:
    found = [(name, scores[name]) for name in names]
    return ", ".join(f"{name} {auc.auc:.3f} [{auc.ci95[0]:.3f}, {auc.ci95[1]:.3f}]" for name, auc in found)


def _sum(seconds: Mapping[str, float], stages: Sequence[str]) -> float:
    return sum(seconds.get(stage, 0.0) for stage in stages)
