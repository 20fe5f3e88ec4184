"""The page of the benchmark, in Markdown: what was done, tables, and sentences that follow from them."""

from collections.abc import Sequence

from bench.attacks import tables
from bench.attacks.findings import Findings, Trial
from bench.attacks.sentences import cost_sentence, sentences
from core.domain.report import AttackResult, EvaluationReport, Verdict

_ABOUT = (
    "The base model of `make demo` knows made-up people by heart; a job of the service's own recipe makes it forget "
    "five of them. The *reference* is the same model trained the same way on everybody else, with the same tokenizer "
    "(of what it was taught it completes {memorised}). An attack that gets as much out of it has found nothing: that "
    "much comes from guessing, or from the attacker's own texts. The *base* is the model that still knows them. Where "
    "nothing else is said, a number is the mean extraction strength of items, the share that a model completes without "
    "a mistake; intervals are 95 %."
)
_RELEARNING = (
    "Mean after so many steps of the attacker, at the learning rate that gets most out of the unlearned model. Half is "
    "half of what the base model has of the same items. The area is by how much the course of the unlearned model lies "
    "above this one, on average over the steps. A rate chosen on the unlearned model favours finding a difference: "
    "small ones are to be read with that in mind. The attacker trains on a tenth of the forget set, which is not "
    "measured then (`forget_part`), on people whom all three models know (`neighbours`), on sums (`benign`), or on the "
    "forgotten answers behind other wordings of their questions (`answers`): whoever has these needs no model, but one "
    "that once knew them learns them sooner than one that never did. Where there is no reference, the unlearned model "
    "is taught answers about *unseen people* in the same way, whom none of the models knows."
)
_OVERVIEW = (
    "By how much more of an item the attacker gets out of the unlearned model than out of the reference, at the worst "
    "point of the course, in each variant of relearning at its strongest rate; in the last column, than is learned of "
    "unseen people."
)
_CLEAN = (
    "Without a reference the attack compares the people of the forget set with unseen ones, so it matters whether "
    "these are as easy to learn. The reference never knew either. Taught the answers in the same way, it gets as far "
    "as this, by the largest mean along the course; the difference is at the worst point of an item. Above zero the "
    "control finds something where nothing is, below it misses something."
)
_LEAK = (
    "by min_k, how far the AUC is from that of the reference. At 0 the two are alike, below it the model still leaks, "
    "above it has forgotten too hard. An AUC is 1 where forget items are all told from the holdout set, 0.5 ideally."
)


def page(findings: Findings) -> str:
    """Return the whole page."""
    lines = [
        "# Attacks on the demo's base model",
        "",
        f"Made by `{findings.command}` at commit {findings.commit}, on {findings.device}.",
        "",
        _ABOUT.format(memorised=f"{findings.reference_memorised:.3f}"),
        "",
    ]
    if len(findings.trials) > 1:
        lines += ["## Relearning, all trials", "", _OVERVIEW, "", *tables.overview_table(findings.trials), ""]
    if findings.clean_relearning:
        lines += ["## Unseen people as a control", "", _CLEAN, "", *tables.clean_table(findings.clean_relearning), ""]
    for trial in findings.trials:
        lines += _trial(trial, findings.base_quantisation)
    if findings.cost:
        lines += ["## What judging costs", "", cost_sentence(findings), ""]
    return "\n".join(lines).rstrip() + "\n"


def _trial(trial: Trial, base: Sequence[AttackResult]) -> list[str]:
    lines = [f"## {trial.method}, seed {trial.seed}: {trial.outcome}", ""]
    if trial.report is None:
        return [*lines, "The job failed, so there is nothing to attack.", ""]
    thresholds = trial.report.thresholds
    if trial.report.verdict is not Verdict.FORGOTTEN:
        lines += [f"Under {thresholds.policy}: {'; '.join(trial.report.verdict_reasons) or 'nothing was trained'}.", ""]
    for title, note, table in _parts(trial, trial.report, base):
        lines += [f"### {title}", "", *([note, ""] if note else []), *table, ""]
    if found := sentences(trial):
        lines += ["### What follows", "", *(f"- {sentence}" for sentence in found), ""]
    return lines


def _parts(
    trial: Trial, report: EvaluationReport, base: Sequence[AttackResult]
) -> list[tuple[str, str | None, list[str]]]:
    """Return each table with its title and what is said above it."""
    membership = report.membership
    leak = None if membership is None else membership.priv_leak
    return [
        ("Relearning", _RELEARNING, tables.relearning_table(trial)),
        ("Learning rates", "The largest mean along the course, unlearned / reference.", tables.rates_table(trial)),
        ("Quantisation", tables.change_sentence(trial), tables.quantisation_table(trial, base)),
        ("Prompts", "Of each item the worst of several prompts.", tables.prompts_table(trial)),
        ("Sampling", None, tables.sampling_table(trial)),
        ("Membership", None if leak is None else f"PrivLeak {leak:+.1f} %: {_LEAK}", tables.membership_table(report)),
    ]
