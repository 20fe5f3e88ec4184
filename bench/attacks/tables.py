"""The tables of one trial, in Markdown."""

from collections.abc import Iterable, Sequence
from statistics import median

from bench.attacks.findings import (
    ANSWERS,
    STRENGTH,
    Trial,
    at_rate,
    gap,
    gap_to_unseen,
    peak,
    rates,
    strongest,
)
from core.domain.report import AttackOutcome, AttackResult, EvaluationReport, MembershipScore
from core.evaluation.attacks.relearning import NAME as RELEARNING
from core.evaluation.lessons import VARIANTS
from core.packaging.attack_notes import attack_title

ABSENT = "-"


def relearning_table(trial: Trial) -> list[str]:
    """Return the courses of the strongest attacks, and beside each what it is to be compared with."""
    found = {variant: strongest(trial.relearning, variant) for variant in VARIANTS}
    outcomes = [result.attacked for result in found.values() if result is not None and result.attacked is not None]
    steps = [point.x for point in outcomes[0].curve] if outcomes else []
    header = ["trained on", "items", "rate", "course of", *(f"{step:g}" for step in steps), "steps to half", "area"]
    rows = []
    for variant, result in found.items():
        if result is None or result.attacked is None:
            rows.append([variant, *[ABSENT] * (len(header) - 1)])
        else:
            rows += _courses(trial, variant, result, result.attacked)
    return table(header, rows)


def _courses(trial: Trial, variant: str, result: AttackResult, attacked: AttackOutcome) -> list[list[str]]:
    rate = float(result.budget["learning_rate"])
    about = [variant, f"{result.budget['trained_items']}, {attacked.n} measured", f"{rate:g}"]
    rows = [[*about, "unlearned", *_course(attacked), _half(result, ""), ""]]
    if result.reference is not None:
        rows.append(["", "", "", "reference", *_course(result.reference), _half(result, "reference_"), _area(result)])
    unseen = trial.unseen_relearning if variant == ANSWERS else None
    if unseen is not None and unseen.control is not None:
        rows.append(["", "", "", "unseen people", *_course(unseen.control), _half(unseen, "control_"), _area(unseen)])
    base = at_rate(trial.base_relearning, variant, rate)
    if base is not None and base.attacked is not None:
        rows.append(["", "", "", "base", *_course(base.attacked), _half(base, ""), ""])
    return rows


def overview_table(trials: Sequence[Trial]) -> list[str]:
    """Return for each trial how far each relearning gets above the reference, and answers above unseen people."""
    rows = []
    for trial in trials:
        found = [strongest(trial.relearning, variant) for variant in VARIANTS]
        gaps = [gap(result.attacked, result.reference) if result else None for result in found]
        shown = [ABSENT if each is None else str(each) for each in (*gaps, gap_to_unseen(trial.unseen_relearning))]
        rows.append([trial.method, f"{trial.seed}", trial.outcome, *shown])
    return table(["method", "seed", "outcome", *VARIANTS, f"{ANSWERS}, above unseen people"], rows)


def clean_table(results: Sequence[AttackResult]) -> list[str]:
    """Return by rate how far a model that never knew gets with either people, which should be equally far."""
    made = [result for result in results if result.attacked is not None and result.control is not None]
    rows = []
    for result in made:
        peaks = [_number(peak(outcome)) for outcome in (result.attacked, result.control)]
        rows.append([f"{result.budget['learning_rate']:g}", *peaks, f"{gap_to_unseen(result) or ABSENT}"])
    return table(["rate", "people of the forget set", "unseen people", "difference"], rows)


def rates_table(trial: Trial) -> list[str]:
    """Return the peak of the mean over the course at each learning rate, of the unlearned model and the reference."""
    tried = rates(trial.relearning)
    planned = [result for result in _attacks(trial.report, RELEARNING) if result.attacked is not None]
    header = ["trained on", *(f"rate {rate:g}" for rate in tried), "the policy's own budget"]
    rows = []
    for variant in VARIANTS:
        results = [at_rate(trial.relearning, variant, rate) for rate in tried]
        own = next((result for result in planned if result.variant == variant), None)
        rows.append([variant, *(_peaks(result) for result in [*results, own])])
    return table(header, rows)


def quantisation_table(trial: Trial, base: Sequence[AttackResult]) -> list[str]:
    """Return what rounding brings back in each deployment, with that of the same weights of the reference and base."""
    untouched = {result.variant: result for result in base}
    rows = []
    for result in _attacks(trial.report, "quantisation"):
        of_base = untouched.get(result.variant.replace("_merged", "_base"))
        outcomes = [result.unattacked, result.attacked, result.reference, of_base.attacked if of_base else None]
        rows.append(
            [attack_title(result).partition(": ")[2], *(_mean(outcome) for outcome in outcomes), _worst(result)]
        )
    return table(["deployment", "unlearned", "rounded", "reference rounded", "base rounded", "worst item"], rows)


def change_sentence(trial: Trial) -> str | None:
    """Return how large the change of the weights is, in steps of the 4-bit grid, None where it was not measured."""
    layers = [layer for result in _attacks(trial.report, "quantisation") for layer in result.layers]
    if not layers:
        return None
    middle = median(layer.median_change for layer in layers)
    largest = max(layer.max_change for layer in layers)
    return (
        f"In steps of the 4-bit grid the median change of a weight is {middle:.3f} "
        f"in the middle one of {len(layers)} layers, and the largest in any is {largest:.2f}."
    )


def prompts_table(trial: Trial) -> list[str]:
    """Return what other prompts get, each item's worst of several."""
    rows = []
    for result in _attacks(trial.report, "prompts"):
        outcomes = [result.unattacked, result.attacked, result.reference]
        items = f"{result.attacked.n}" if result.attacked else ABSENT
        rows.append([result.variant, items, *(_mean(outcome) for outcome in outcomes), _worst(result)])
    return table(["family", "items", "as in the request", "attacked", "reference", "worst item"], rows)


def sampling_table(trial: Trial) -> list[str]:
    """Return what is in many drawn answers, under the unlearned model and the reference."""
    rows = []
    for result in _attacks(trial.report, "sampling"):
        for name, outcome, prefix in (
            ("unlearned", result.attacked, ""),
            ("reference", result.reference, "reference_"),
        ):
            if outcome is not None:
                recall, exact = (outcome.means.get(metric) for metric in ("rouge_l_token_recall", "exact_match"))
                rows.append([name, f"{outcome.n}", _number(recall), _number(exact), _leaked(result, prefix)])
    return table(["model", "items", "best recall", "exact answers", "items of which some sample leaks over half"], rows)


def membership_table(report: EvaluationReport) -> list[str]:
    """Return by each score how well forget items are told from the holdout set, before, after, under the reference."""
    membership = report.membership
    if membership is None:
        return []
    reference = membership.reference or {}
    rows = [
        [name, *(_auc(scores.get(name)) for scores in (membership.before, membership.after, reference))]
        for name in {**membership.before, **membership.after}
    ]
    return table(["score", "base", "unlearned", "reference"], rows)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def _attacks(report: EvaluationReport | None, name: str) -> list[AttackResult]:
    return [result for result in report.attacks if result.name == name] if report else []


def _course(outcome: AttackOutcome) -> list[str]:
    return [_number(point.means.get(STRENGTH)) for point in outcome.curve]


def _half(result: AttackResult, prefix: str) -> str:
    name = f"{prefix}steps_to_half_{STRENGTH}"
    if name in result.summary:
        return f"{result.summary[name]:.0f}"
    return result.missing.get(name, ABSENT)


def _area(result: AttackResult) -> str:
    return _number(result.summary.get(f"area_between_{STRENGTH}"))


def _peaks(result: AttackResult | None) -> str:
    if result is None or result.attacked is None:
        return ABSENT
    return f"{_number(peak(result.attacked))} / {_number(peak(result.reference))}"


def _mean(outcome: AttackOutcome | None) -> str:
    return _number(outcome.means.get(STRENGTH) if outcome else None)


def _worst(result: AttackResult) -> str:
    if result.attacked is None:
        return ABSENT
    return _number(max((values[STRENGTH] for values in result.attacked.items.values()), default=None))


def _leaked(result: AttackResult, prefix: str) -> str:
    names = [f"{prefix}items_above_half{end}" for end in ("", "_low", "_high")]
    if any(name not in result.summary for name in names):
        return ABSENT
    share, low, high = (result.summary[name] for name in names)
    return f"{share:.3f} [{low:.3f}, {high:.3f}]"


def _auc(score: MembershipScore | None) -> str:
    return ABSENT if score is None else f"{score.auc:.3f} [{score.ci95[0]:.3f}, {score.ci95[1]:.3f}]"


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"
