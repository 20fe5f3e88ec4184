from collections import Counter
from dataclasses import dataclass

from core.domain.report import AttackResult, EvaluationReport, SetResult
from core.packaging.attack_notes import ATTACK_NOTES, attack_title, summary_title, variant_title
from core.packaging.membership_notes import membership_note
from core.packaging.metric_notes import note_of

NOT_IN_REPORT = "this report holds none and gives no reason"


@dataclass(frozen=True)
class Gap:
    """Something that the report has no number for, and why."""

    what: str
    reason: str


def gaps_of(report: EvaluationReport) -> list[Gap]:
    """Return everything that was not measured, each with its reason, widest first."""
    gaps = [Gap(_in_words(name), reason) for name, reason in report.not_measured.items()]
    if report.holdout is None:
        gaps.append(Gap("Holdout set", "no holdout set is registered with this base model"))
    sections = {
        "truth_ratio": report.truth_ratio,
        "forget_quality": report.forget_quality,
        "exposure": report.exposure,
        "membership": report.membership,
    }
    gaps += [
        Gap(_in_words(name), NOT_IN_REPORT)
        for name, section in sections.items()
        if section is None and name not in report.not_measured
    ]
    told = {name.partition(" (")[0] for name in report.not_measured}
    if not report.attacks and not told & (ATTACK_NOTES.keys() | {"attacks"}):
        gaps.append(Gap("Attacks", NOT_IN_REPORT))
    for name, result in (("forget", report.forget), ("retain", report.retain), ("holdout", report.holdout)):
        gaps += _of_set(name, result) if result else []
    gaps += _of_membership(report)
    return gaps + _of_attacks(report)


def _of_set(name: str, result: SetResult) -> list[Gap]:
    gaps = [
        Gap(f"{note_of(metric).title}, {name} set{', some items' if metric in result.metrics else ''}", reason)
        for metric, reason in result.absent.items()
    ]
    if left := result.num_items - result.num_measured:
        gaps.append(Gap(f"{left} of {result.num_items} items of the {name} set", "not measured"))
    return gaps


def _of_membership(report: EvaluationReport) -> list[Gap]:
    if report.membership is None:
        return []
    gaps = [
        Gap(f"Membership inference: {membership_note(name).title.lower()}", reason)
        for name, reason in report.membership.absent.items()
    ]
    if report.membership.reference is None:
        gaps.append(Gap("Membership inference under a reference", "there is no model trained without the forget set"))
    return gaps


def _of_attacks(report: EvaluationReport) -> list[Gap]:
    gaps = []
    for attack in report.attacks:
        title = attack_title(attack)
        if attack.attacked is None:
            gaps.append(Gap(title, "; ".join([attack.absent or NOT_IN_REPORT, *_of_its_limit(attack, report)])))
            continue
        untried = (
            {item.id for item in report.forget.items} - attack.attacked.items.keys() - attack.attacked.missing.keys()
        )
        if untried:
            gaps.append(Gap(f"{title}, {_items(len(untried))}", "not among the items that the attack was tried on"))
        gaps += [Gap(f"{title}, {summary_title(name).lower()}", reason) for name, reason in attack.missing.items()]
        outcomes = (
            ("", attack.attacked),
            (", without the attack", attack.unattacked),
            (", reference", attack.reference),
            (", unseen texts", attack.control),
        )
        for which, outcome in outcomes:
            gaps += [
                Gap(f"{title}{which}, {_items(count)}", reason)
                for reason, count in Counter(outcome.missing.values() if outcome else ()).items()
            ]
    return gaps


def _items(count: int) -> str:
    return f"{count} {'item' if count == 1 else 'items'}"


def _of_its_limit(absent: AttackResult, report: EvaluationReport) -> list[str]:
    """Return what became of the limit of an attack of which a variant could not be made; [] where it has none."""
    if not absent.at_most:
        return []
    held = [
        variant_title(each) for each in report.attacks if each.name == absent.name and each.at_most and each.attacked
    ]
    if not held:
        return ["since no variant of the attack could be made, its limit did not hold"]
    return [f"the limit of the attack was held to its other variants alone: {', '.join(held)}"]


def _in_words(name: str) -> str:
    if name == "membership":
        return "Membership inference"
    attack, _, variants = name.removesuffix(")").partition(" (")  # as a policy labels its attacks
    if attack not in ATTACK_NOTES:
        return note_of(name).title
    note = ATTACK_NOTES[attack]
    named = [note.variants[each].title if each in note.variants else each for each in variants.split(", ") if each]
    return f"Attack: {', '.join([note.title.lower(), *named])}"
